/** Attacks at an MCP server: messages, their header fields, rounds and kinds. */
import type { JsonObject } from '../../src/lib/json.ts'
import { type Attack, messageOf, type Scene, type SpoiltCall } from './door-scene.ts'
import { callBody, type Header, LIST, newKey } from './sender.ts'

type Refused = Attack['refused']

const OTHER = (part: string): Refused => [403, 'action_mismatch', { part }]
const HEADER = (header: string): Refused => [400, 'header_mismatch', { header }]
const MALFORMED: Refused = [400, 'message_malformed']

const HELLO = '{"title":"hello"}'

/** The same call in the newer era, with the header fields it needs. */
function modern(change: Readonly<Record<string, string | undefined>> = {}): SpoiltCall {
  const version = '2026-07-28'
  const body = JSON.parse(callBody()) as { params: JsonObject }
  body.params = {
    ...body.params,
    _meta: {
      'io.modelcontextprotocol/protocolVersion': version,
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  }
  const headers: Readonly<Record<string, string | undefined>> = {
    'mcp-protocol-version': version,
    'mcp-method': 'tools/call',
    'mcp-name': 'add_note',
    ...change,
  }
  return {
    body: JSON.stringify(body),
    headers: Object.entries(headers).filter(
      (field): field is [string, string] => field[1] !== undefined,
    ),
  }
}

const sentinel = (text: string) => `=?base64?${Buffer.from(text).toString('base64')}?=`
const withBody = (body: string | Buffer) => (s: Scene) => s.call({ body })
const withParams = (more: string) => withBody(messageOf(HELLO, more))

export const messageRows: readonly [title: string, attack: Attack['attack'], refused: Refused][] = [
  // The message.
  ['other arguments', withBody(messageOf('{"title":"evil"}')), OTHER('arguments')],
  ['one argument more', withBody(messageOf('{"title":"hello","count":1}')), OTHER('arguments')],
  [
    'an argument named __proto__',
    withBody(messageOf('{"title":"hello","__proto__":{"admin":true}}')),
    OTHER('arguments'),
  ],
  [
    'no arguments but a prototype',
    withBody(messageOf('{"__proto__":{"title":"hello"}}')),
    OTHER('arguments'),
  ],
  [
    'an argument named constructor',
    withBody(messageOf('{"title":"hello","constructor":{"prototype":{}}}')),
    OTHER('arguments'),
  ],
  ['another tool', withBody(messageOf(HELLO).replace('add_note', 'wipe')), OTHER('identifier')],
  [
    'a tool that nobody listed',
    withBody(messageOf(HELLO).replace('add_note', 'exec')),
    [403, 'definition_unknown'],
  ],
  [
    'another method with the same name',
    withBody(messageOf(HELLO).replace('tools/call', 'prompts/get')),
    OTHER('method'),
  ],
  [
    'a method nobody knows',
    withBody(messageOf(HELLO).replace('tools/call', 'tools/exec')),
    [404, 'method_unknown'],
  ],
  [
    'a method named __proto__',
    withBody(messageOf(HELLO).replace('tools/call', '__proto__')),
    [404, 'method_unknown'],
  ],
  ['a batch', withBody(`[${messageOf(HELLO)}]`), [400, 'batch_refused']],
  ['a call without an id', withBody(messageOf(HELLO).replace('"id":1,', '')), MALFORMED],
  [
    'two methods',
    withBody(messageOf(HELLO).replace('"id":1', '"id":1,"method":"ping"')),
    MALFORMED,
  ],
  ['two of one argument', withBody(messageOf('{"title":"hello","title":"evil"}')), MALFORMED],
  [
    'two of one argument, the second escaped',
    withBody(messageOf('{"title":"hello","t\\u0069tle":"evil"}')),
    MALFORMED,
  ],
  ['an integer that no double holds', withBody(messageOf('{"count":9007199254740993}')), MALFORMED],
  ['a number that is too large', withBody(messageOf('{"count":1e400}')), MALFORMED],
  ['half a surrogate pair', withBody(messageOf('{"title":"\\udc00"}')), MALFORMED],
  [
    'bytes that are no UTF-8',
    withBody(Buffer.from(messageOf('{"title":"\xff"}'), 'latin1')),
    MALFORMED,
  ],
  ['a byte order mark', withBody(`\ufeff${messageOf(HELLO)}`), MALFORMED],
  [
    'a second message behind the first',
    withBody(`${messageOf(HELLO)}${messageOf(HELLO)}`),
    MALFORMED,
  ],
  ['a thousand levels', withBody(messageOf(`${'['.repeat(1000)}${']'.repeat(1000)}`)), MALFORMED],
  ['no body', withBody(''), MALFORMED],
  ['a member that no token binds', withParams(',"task":{"ttl":1}'), MALFORMED],
  ['a member named __proto__', withParams(',"__proto__":{"name":"wipe"}'), MALFORMED],
  [
    'a member of the message named __proto__',
    withBody(messageOf(HELLO).replace('{', '{"__proto__":{},')),
    MALFORMED,
  ],
  [
    'a body of more than the limit',
    withBody(messageOf(`{"title":"${'x'.repeat(1_200_000)}"}`)),
    [413, 'request_too_large'],
  ],

  // Header fields against the body.
  [
    'a modern call without its header fields',
    (s) => s.call({ body: modern().body as string }),
    HEADER('mcp-protocol-version'),
  ],
  ['another name in the header', (s) => s.call(modern({ 'mcp-name': 'wipe' })), HEADER('mcp-name')],
  [
    'another name in the header, in Base64',
    (s) => s.call(modern({ 'mcp-name': sentinel('wipe') })),
    HEADER('mcp-name'),
  ],
  [
    'the name in Base64 that is not canonical',
    (s) => s.call(modern({ 'mcp-name': sentinel('add_note').replace('?=', '=?=') })),
    HEADER('mcp-name'),
  ],
  [
    'another method in the header',
    (s) => s.call(modern({ 'mcp-method': 'tools/list' })),
    HEADER('mcp-method'),
  ],
  [
    'another revision in the header',
    (s) => s.call(modern({ 'mcp-protocol-version': '2025-11-25' })),
    HEADER('mcp-protocol-version'),
  ],
  [
    'two names in two fields',
    (s) => {
      const call = modern()
      return s.call({ ...call, headers: [...(call.headers ?? []), ['Mcp-Name', 'wipe']] })
    },
    HEADER('mcp-name'),
  ],
  [
    'a legacy call with another name in the header',
    (s) => s.call({ headers: [['Mcp-Name', 'wipe']] }),
    HEADER('mcp-name'),
  ],

  // Rounds, sessions and kinds.
  [
    'a second round with altered input',
    (s) => {
      const { token, key } = s.continued
      const input = { ...s.input, requestState: 'round 3' }
      return s.call({ token, key, body: callBody(undefined, input) })
    },
    OTHER('input'),
  ],
  [
    'a second round with other answers',
    (s) => {
      const { token, key } = s.continued
      const input = { ...s.input, inputResponses: { sure: { action: 'decline' } } }
      return s.call({ token, key, body: callBody(undefined, input) })
    },
    OTHER('input'),
  ],
  [
    'a second round with altered arguments',
    (s) => {
      const { token, key } = s.continued
      return s.call({ token, key, body: callBody({ title: 'evil' }, s.input) })
    },
    OTHER('arguments'),
  ],
  [
    'a second round with another key',
    (s) => s.call({ token: s.continued.token, key: newKey(), body: callBody(undefined, s.input) }),
    [401, 'key_mismatch'],
  ],
  [
    'a second round with the token of the first',
    (s) => s.call({ body: callBody(undefined, s.input) }),
    OTHER('input'),
  ],
  [
    'the first round with the token of the second',
    (s) => s.call({ token: s.continued.token, key: s.continued.key }),
    OTHER('input'),
  ],
  [
    'a session token for a call',
    (s) => s.call({ token: s.session.token, key: s.session.key }),
    [403, 'scope_insufficient'],
  ],
  ['an action token for a list', withBody(LIST), [403, 'scope_insufficient']],
  [
    'an action token for a response of the older era',
    withBody('{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}'),
    [403, 'scope_insufficient'],
  ],
  [
    'a call hidden in a response',
    withBody(messageOf(HELLO).replace('"id":1', '"id":1,"result":{}')),
    MALFORMED,
  ],
  [
    'a response with a second answer',
    withBody('{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}'),
    MALFORMED,
  ],
  [
    'a response that says in the header it is a call',
    (s) =>
      s.call({
        token: s.session.token,
        key: s.session.key,
        body: '{"jsonrpc":"2.0","id":1,"result":{}}',
        headers: [['Mcp-Method', 'tools/call']],
      }),
    HEADER('mcp-method'),
  ],
  [
    'a session id of somebody else',
    (s) =>
      s.call({
        token: s.session.token,
        key: s.session.key,
        body: LIST,
        headers: [['Mcp-Session-Id', 'stolen']],
      }),
    [404, 'session_mismatch'],
  ],

  // The request as such.
  [
    'a foreign Host',
    (s) => s.call({ without: ['host'], headers: [['Host', 'evil.test']] }),
    [403, 'origin_refused', { header: 'host' }],
  ],
  [
    'a foreign Origin',
    (s) => s.call({ headers: [['Origin', 'https://evil.test']] }),
    [403, 'origin_refused', { header: 'origin' }],
  ],
  [
    'a body that says it is a form',
    (s) =>
      s.call({
        without: ['content-type'],
        headers: [['Content-Type', 'text/plain']] satisfies Header[],
      }),
    [400, 'request_malformed'],
  ],
  ['another HTTP method', (s) => s.call({ method: 'PUT' }), [400, 'request_malformed']],
]
