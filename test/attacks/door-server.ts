/** Attacks at an MCP server behind a gate. */
import { createPublicKey, type JsonWebKey } from 'node:crypto'
import type { JsonObject } from '../../src/lib/json.ts'
import {
  type Attack,
  hs256,
  messageOf,
  type Scene,
  type SpoiltCall,
  strangerKey,
  unsigned,
} from './door-scene.ts'
import { callBody, claimsOf, type Header, LIST, newKey, proofFor, seconds } from './sender.ts'
import { RESOURCE } from './site.ts'

type Refused = Attack['refused']

const TOKEN = (check: string): Refused => [401, 'token_invalid', { check }]
const PROOF = (check: string): Refused => [401, 'proof_invalid', { check }]
const OTHER = (part: string): Refused => [403, 'action_mismatch', { part }]
const HEADER = (header: string): Refused => [400, 'header_mismatch', { header }]
const MALFORMED: Refused = [400, 'message_malformed']

const kid = ({ brokerJwk }: Scene) => String(brokerJwk.kid)
const HELLO = '{"title":"hello"}'

function pem({ brokerJwk }: Scene): string {
  const key = createPublicKey({ key: brokerJwk as JsonWebKey, format: 'jwk' })
  return String(key.export({ format: 'pem', type: 'spki' }))
}

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
const now = () => Math.floor(seconds())

const rows: readonly [title: string, attack: Attack['attack'], refused: Refused][] = [
  // The token.
  [
    'a token signed with HMAC, the broker’s public key as the secret',
    (s) => {
      const claims = claimsOf(s.issued.token)
      return s.call({ token: hs256({ typ: 'at+jwt', kid: kid(s) }, claims, pem(s)) })
    },
    TOKEN('algorithm'),
  ],
  [
    'a token that is not signed',
    (s) => s.call({ token: unsigned({ typ: 'at+jwt', kid: kid(s) }, claimsOf(s.issued.token)) }),
    TOKEN('algorithm'),
  ],
  [
    'a token that says ES256 and is not signed',
    (s) => {
      const header = { typ: 'at+jwt', kid: kid(s) }
      return s.call({ token: unsigned(header, claimsOf(s.issued.token), 'ES256') })
    },
    TOKEN('signature'),
  ],
  [
    'a token whose claims were changed',
    (s) => {
      const [head, , signature] = s.issued.token.split('.')
      const claims = { ...claimsOf(s.issued.token), sub: 'spiffe://corp.test/root' }
      const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
      return s.call({ token: `${head}.${payload}.${signature}` })
    },
    TOKEN('signature'),
  ],
  [
    'a token of a stranger under the broker’s key id',
    (s) => s.call({ token: s.mint({}, strangerKey(kid(s))) }),
    TOKEN('signature'),
  ],
  [
    'a token of a stranger',
    (s) => s.call({ token: s.mint({}, strangerKey('stranger')) }),
    TOKEN('key'),
  ],
  [
    'a DPoP proof as the token',
    (s) => s.call({ token: proofFor(s.issued.key, RESOURCE) }),
    TOKEN('typ'),
  ],
  ['an SVID as the token', (s) => s.call({ token: s.svid }), TOKEN('typ')],
  [
    'a text of the revocation feed as the token',
    (s) => s.call({ token: s.feedText }),
    TOKEN('typ'),
  ],
  [
    'a token for another server',
    (s) => s.call({ token: s.elsewhere.token, key: s.elsewhere.key }),
    TOKEN('audience'),
  ],
  [
    'a token for two servers',
    (s) => s.call({ token: s.mint({ aud: [RESOURCE, 'https://other.test/mcp'] }) }),
    TOKEN('claims'),
  ],
  [
    'a token of another issuer',
    (s) => s.call({ token: s.mint({ iss: 'https://evil.test' }) }),
    TOKEN('issuer'),
  ],
  [
    'an expired token',
    (s) => s.call({ token: s.mint({ iat: now() - 100, exp: now() - 40 }) }),
    [401, 'token_expired'],
  ],
  [
    'a token for longer than any may live',
    (s) => s.call({ token: s.mint({ exp: now() + 3600 }) }),
    TOKEN('lifetime'),
  ],
  [
    'a token from the future',
    (s) => s.call({ token: s.mint({ iat: now() + 120, exp: now() + 180 }) }),
    TOKEN('lifetime'),
  ],
  [
    'a token bound to no key',
    (s) => s.call({ token: s.mint({ cnf: undefined as never }) }),
    [401, 'token_unbound'],
  ],
  [
    'a token of both kinds',
    (s) => s.call({ token: s.mint({ scope: 'mcp:action mcp:session' }) }),
    TOKEN('claims'),
  ],
  [
    'a grant with a member nobody knows',
    (s) => {
      const [granted] = claimsOf(s.issued.token).authorization_details as [JsonObject]
      return s.call({ token: s.mint({ authorization_details: [{ ...granted, any: true }] }) })
    },
    OTHER('element'),
  ],
  ['no token', (s) => s.call({ without: ['authorization'] }), [401, 'token_missing']],
  [
    'two Authorization fields',
    (s) => s.call({ headers: [['Authorization', `DPoP ${s.issued.token}`]] }),
    TOKEN('count'),
  ],
  [
    'two tokens in one field',
    (s) => s.call({ scheme: `DPoP ${s.issued.token}, DPoP` }),
    TOKEN('form'),
  ],
  [
    'the token in the query',
    (s) => s.call({ without: ['authorization'], target: `/mcp?access_token=${s.issued.token}` }),
    [401, 'token_missing'],
  ],
  ['a bound token sent as Bearer', (s) => s.call({ scheme: 'Bearer' }), [401, 'token_unbound']],
  [
    'a token that is 20 KiB long',
    (s) => s.call({ token: `${s.issued.token}${'x'.repeat(13_000)}` }),
    TOKEN('form'),
  ],

  // The proof.
  ['no proof', (s) => s.call({ proofs: [] }), [401, 'binding_missing']],
  [
    'two proofs',
    (s) => {
      const { token, key } = s.issued
      const proof = () => proofFor(key, RESOURCE, { accessToken: token })
      return s.call({ proofs: [proof(), proof()] })
    },
    PROOF('count'),
  ],
  [
    'the token in the place of the proof',
    (s) => s.call({ proofs: [s.issued.token] }),
    PROOF('typ'),
  ],
  [
    'a proof that is not signed',
    (s) => {
      const header = { typ: 'dpop+jwt', jwk: s.issued.key.publicJwk }
      const claims = { jti: 'unsigned', htm: 'POST', htu: RESOURCE, iat: now() }
      return s.call({ proofs: [unsigned(header, claims)] })
    },
    PROOF('algorithm'),
  ],
  ['a proof of another key', (s) => s.call({ key: newKey() }), [401, 'key_mismatch']],
  [
    'a proof for another host',
    (s) => s.call({ claims: { url: 'https://evil.test/mcp' } }),
    PROOF('url'),
  ],
  ['a proof for another method', (s) => s.call({ claims: { method: 'GET' } }), PROOF('method')],
  [
    'a proof for another token',
    (s) => s.call({ claims: { accessToken: s.session.token } }),
    PROOF('token_hash'),
  ],
  ['a proof of two minutes ago', (s) => s.call({ claims: { now: seconds() - 120 } }), PROOF('age')],

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

export const serverAttacks: readonly Attack[] = rows.map(([title, attack, refused]) => ({
  door: 'verifier',
  title,
  attack,
  refused,
}))
