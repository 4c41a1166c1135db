/**
 * The order of checks. Each case spoils one thing about a right request. It must be refused for that
 * reason, must not be refused for it when the one step is taken out, and must not have burnt the
 * right token.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { hashDefinition } from '../../src/action/hash.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { Refusal } from '../../src/refusal.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import { createTokenVerifier } from '../../src/token/access-token.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import { spendIdOf } from '../../src/token/spend-id.ts'
import { certificatesOf } from '../../src/verifier/certificates.ts'
import {
  type Examination,
  examine,
  type Parts,
  STEPS,
  type Step,
} from '../../src/verifier/check.ts'
import { definitionsOf } from '../../src/verifier/definitions.ts'
import { doorsOf } from '../../src/verifier/doors.ts'
import type { GateRequest } from '../../src/verifier/request.ts'
import { LegacySessions } from '../../src/verifier/sessions.ts'
import {
  AGENT,
  brokerKeys,
  callMessage,
  certified,
  claimsFor,
  clock,
  ISSUER,
  mint,
  modern,
  RESOURCE,
  request,
  type Sent,
  signingKey,
  startedLedger,
  startFeed,
} from './rig.ts'

const args = { text: 'milk', count: 2 }
const tool = { name: 'add_note', description: 'Adds a note', inputSchema: { type: 'object' } }
const definitionHash = hashDefinition(tool)
const marked = {
  name: 'marked',
  inputSchema: {
    type: 'object',
    properties: { region: { type: 'string', 'x-mcp-header': 'Region' } },
  },
}

let feed: Awaited<ReturnType<typeof startFeed>>
let revocations: Revocations

before(async () => {
  feed = await startFeed()
  revocations = new Revocations({
    keys: brokerKeys,
    issuer: ISSUER,
    transport: feed.transport,
    clock: clock.now,
  })
  await revocations.start()
})
after(async () => {
  await revocations.close()
  await feed.publisher.close()
})

function makeParts(
  overrides: Partial<Parts> = {},
): Parts & { ledger: ReturnType<typeof startedLedger> } {
  const sessions = new LegacySessions()
  sessions.remember('theirs', 'sid-of-another')
  return {
    issuer: ISSUER,
    resource: RESOURCE,
    maxBodyBytes: 4096,
    doors: doorsOf(new URL(RESOURCE)),
    told: { definitions: definitionsOf([tool, marked]), nonces: undefined, check() {} },
    tokens: createTokenVerifier({ issuer: ISSUER, audience: RESOURCE, keys: brokerKeys }),
    certificates: certificatesOf({}),
    sessions,
    revocations,
    ledger: startedLedger(),
    ...overrides,
  } as Parts & { ledger: ReturnType<typeof startedLedger> }
}

/** A ledger that begins a little later, and so cannot know what is spent until then. */
const startingLedger = () => memoryLedger({ clock: () => clock.now() + 5 })

/** The reason's code and, where it has one, what it names; `allowed` when nothing refused. */
async function outcome(
  parts: Parts,
  sent: GateRequest,
  steps: readonly Step[] = STEPS,
): Promise<string> {
  const exam: Examination = { request: sent, now: clock.now() }
  try {
    await examine(exam, parts, steps)
    return 'allowed'
  } catch (error) {
    if (!(error instanceof Refusal)) return `threw: ${(error as Error).message}`
    const { code, ...evidence } = error.reason as { code: string; [name: string]: unknown }
    const detail = evidence.check ?? evidence.part ?? evidence.header ?? evidence.target
    return detail === undefined ? code : `${code} ${detail}`
  }
}

const without = (name: string): Step[] => {
  const rest = STEPS.filter((step) => step.name !== name)
  assert.equal(rest.length, STEPS.length - 1, `there is no step ${name}`)
  return rest
}

interface Case {
  readonly title: string
  readonly step: string
  readonly refused: string
  /** What is wrong; the token is the right one unless this says otherwise. */
  readonly sent?: Omit<Partial<Sent>, 'token'>
  readonly claims?: Parameters<typeof claimsFor>[1]
  readonly parts?: () => Partial<Parts>
}

/** One byte more than the limit. */
const big = JSON.stringify(callMessage({ text: '' })).padEnd(4097)
const newer = modern(callMessage(args))
const stranger = generateSenderKey()

const elsewhere = [
  '/',
  '/admin/wipe',
  '/mcp/',
  '/mcp/admin',
  '/MCP',
  '//mcp',
  '/%6dcp',
  '/x/../mcp',
]

const cases: Case[] = [
  ...elsewhere.map((path) => ({
    title: `a request for ${path}`,
    step: 'pathHostAndOrigin',
    refused: 'path_refused',
    sent: { path },
  })),
  {
    title: 'a request for another path of another host, with a body that is no JSON',
    step: 'pathHostAndOrigin',
    refused: 'path_refused',
    sent: { path: '/admin', headers: { host: 'evil.example' }, message: '{' },
  },
  {
    title: 'a request for another host',
    step: 'pathHostAndOrigin',
    refused: 'origin_refused host',
    sent: { headers: { host: 'evil.example' } },
  },
  {
    title: 'a request without a host',
    step: 'pathHostAndOrigin',
    refused: 'origin_refused host',
    sent: { headers: { host: undefined } },
  },
  {
    title: 'a web page of another origin',
    step: 'pathHostAndOrigin',
    refused: 'origin_refused origin',
    sent: { headers: { origin: 'https://evil.example' } },
  },
  {
    title: 'a web page without an origin of its own',
    step: 'pathHostAndOrigin',
    refused: 'origin_refused origin',
    sent: { headers: { origin: 'null' } },
  },
  { title: 'a PUT', step: 'httpForm', refused: 'request_malformed', sent: { method: 'PUT' } },
  {
    title: 'a body of another type',
    step: 'httpForm',
    refused: 'request_malformed',
    sent: { headers: { 'content-type': 'text/plain' } },
  },
  {
    title: 'a body of two types',
    step: 'httpForm',
    refused: 'request_malformed',
    sent: { headers: { 'content-type': ['application/json', 'text/plain'] } },
  },
  {
    title: 'a body of a type that begins like the right one',
    step: 'httpForm',
    refused: 'request_malformed',
    sent: { headers: { 'content-type': 'application/jsonl' } },
  },
  {
    title: 'a client that reads nothing but streams',
    step: 'httpForm',
    refused: 'request_malformed',
    sent: { headers: { accept: 'text/event-stream' } },
  },
  {
    title: 'a client that asks for a stream and does not read streams',
    step: 'httpForm',
    refused: 'request_malformed',
    sent: { method: 'GET', headers: { accept: 'application/json' } },
  },
  {
    title: 'a client that does not read streams',
    step: 'httpForm',
    refused: 'request_malformed',
    sent: { headers: { accept: 'application/json' } },
  },
  {
    title: 'a body that is no JSON',
    step: 'oneMessage',
    refused: 'message_malformed',
    sent: { message: '{"jsonrpc":' },
  },
  {
    title: 'a body with a member twice',
    step: 'oneMessage',
    refused: 'message_malformed',
    sent: {
      message:
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add_note","name":"drop_all"}}',
    },
  },
  {
    title: 'a batch',
    step: 'oneMessage',
    refused: 'batch_refused',
    sent: { message: [callMessage(args), callMessage(args)] },
  },
  {
    title: 'a batch of one',
    step: 'oneMessage',
    refused: 'batch_refused',
    sent: { message: [callMessage(args)] },
  },
  {
    title: 'a body over the limit',
    step: 'oneMessage',
    refused: 'request_too_large',
    sent: { message: big },
  },
  {
    title: 'a method nobody knows',
    step: 'oneMessage',
    refused: 'method_unknown',
    sent: { message: { jsonrpc: '2.0', id: 1, method: 'tools/destroy' } },
  },
  {
    title: 'a parameter no hash covers',
    step: 'oneMessage',
    refused: 'message_malformed',
    sent: { message: callMessage(args, 'add_note', { task: { ttl: 1 } }) },
  },
  {
    title: 'a method header for another method',
    step: 'headersEqualBody',
    refused: 'header_mismatch mcp-method',
    sent: { message: newer.message, headers: { ...newer.headers, 'mcp-method': 'tools/list' } },
  },
  {
    title: 'a name header for another tool',
    step: 'headersEqualBody',
    refused: 'header_mismatch mcp-name',
    sent: { message: newer.message, headers: { ...newer.headers, 'mcp-name': 'other' } },
  },
  {
    title: 'two name headers',
    step: 'headersEqualBody',
    refused: 'header_mismatch mcp-name',
    sent: {
      message: newer.message,
      headers: { ...newer.headers, 'mcp-name': ['add_note', 'other'] },
    },
  },
  {
    title: 'the newer era without its headers',
    step: 'headersEqualBody',
    refused: 'header_mismatch mcp-protocol-version',
    sent: { message: newer.message },
  },
  {
    title: 'no Authorization',
    step: 'oneAuthorization',
    refused: 'token_missing',
    sent: { headers: { authorization: undefined } },
  },
  {
    title: 'the same Authorization twice',
    step: 'oneAuthorization',
    refused: 'token_invalid count',
    sent: { headers: { authorization: ['DPoP a.b.c', 'DPoP a.b.c'] } },
  },
  {
    title: 'two Authorizations joined with a comma',
    step: 'oneAuthorization',
    refused: 'token_invalid form',
    sent: { headers: { authorization: 'DPoP a.b.c, DPoP a.b.c' } },
  },
  {
    title: 'another scheme',
    step: 'oneAuthorization',
    refused: 'token_invalid form',
    sent: { scheme: 'Basic' },
  },
  {
    title: 'a token for another server',
    step: 'accessToken',
    refused: 'token_invalid audience',
    claims: { aud: 'https://other.example/mcp' },
  },
  {
    title: 'a token of another issuer',
    step: 'accessToken',
    refused: 'token_invalid issuer',
    claims: { iss: 'https://evil.example' },
  },
  {
    title: 'an expired token',
    step: 'accessToken',
    refused: 'token_expired',
    claims: { iat: Math.floor(clock.now()) - 50, exp: Math.floor(clock.now()) - 10 },
  },
  {
    title: 'a token that lives too long',
    step: 'accessToken',
    refused: 'token_invalid lifetime',
    claims: { exp: Math.floor(clock.now()) + 3600 },
  },
  {
    title: 'a token without a binding',
    step: 'accessToken',
    refused: 'token_unbound',
    claims: { cnf: undefined },
  },
  {
    title: 'a bound token sent as Bearer',
    step: 'binding',
    refused: 'token_unbound',
    sent: { scheme: 'Bearer' },
  },
  {
    title: 'no proof',
    step: 'binding',
    refused: 'binding_missing',
    sent: { headers: { dpop: undefined } },
  },
  {
    title: 'a proof of another key',
    step: 'binding',
    refused: 'key_mismatch',
    sent: { key: stranger },
  },
  {
    title: 'a proof for another method',
    step: 'binding',
    refused: 'proof_invalid method',
    sent: { proof: { method: 'GET' } },
  },
  {
    title: 'a proof for another server',
    step: 'binding',
    refused: 'proof_invalid url',
    sent: { proof: { url: 'https://other.example/mcp' } },
  },
  {
    title: 'a proof made for another token',
    step: 'binding',
    refused: 'proof_invalid token_hash',
    sent: { proof: { accessToken: 'a.b.c' } },
  },
  {
    title: 'an old proof',
    step: 'binding',
    refused: 'proof_invalid age',
    sent: { proof: { now: clock.now() - 120 } },
  },
  {
    title: 'two proofs',
    step: 'binding',
    refused: 'proof_invalid count',
    sent: { headers: { dpop: ['a.b.c', 'a.b.c'] } },
  },
  {
    title: 'a token bound to a certificate where none is taken',
    step: 'binding',
    refused: 'token_unbound',
    sent: { scheme: 'Bearer' },
    claims: { cnf: { 'x5t#S256': 'A'.repeat(43) } },
  },
  {
    title: 'an action token for a method that does nothing',
    step: 'scope',
    refused: 'scope_insufficient',
    sent: { message: { jsonrpc: '2.0', id: 1, method: 'tools/list' } },
  },
  {
    title: 'other arguments',
    step: 'action',
    refused: 'action_mismatch arguments',
    sent: { message: callMessage({ ...args, count: 3 }) },
  },
  {
    title: 'an argument too many',
    step: 'action',
    refused: 'action_mismatch arguments',
    sent: { message: callMessage({ ...args, force: true }) },
  },
  {
    title: 'another tool',
    step: 'action',
    refused: 'action_mismatch identifier',
    sent: { message: callMessage(args, 'marked') },
  },
  {
    title: 'another method',
    step: 'action',
    refused: 'action_mismatch method',
    sent: {
      message: {
        jsonrpc: '2.0',
        id: 1,
        method: 'prompts/get',
        params: { name: 'add_note', arguments: {} },
      },
    },
  },
  {
    title: 'a later round that was not granted',
    step: 'action',
    refused: 'action_mismatch input',
    sent: { message: callMessage(args, 'add_note', { requestState: 'state' }) },
  },
  {
    title: 'a tool this server does not know',
    step: 'action',
    refused: 'definition_unknown',
    sent: { message: callMessage(args, 'unlisted') },
  },
  {
    title: 'a tool whose definition has changed',
    step: 'action',
    refused: 'action_mismatch definition',
    claims: { definitionHash: 'A'.repeat(43) },
  },
  {
    title: 'a token that names no definition',
    step: 'action',
    refused: 'action_mismatch definition',
    claims: { definitionHash: undefined as never },
  },
  {
    title: 'a grant with a member nobody understands',
    step: 'action',
    refused: 'action_mismatch element',
    claims: { authorization_details: [{ type: 'mcp_action', unheard_of: true }] },
  },
  {
    title: "another's legacy session",
    step: 'legacySession',
    refused: 'session_mismatch',
    sent: { headers: { 'mcp-session-id': 'theirs' } },
  },
  {
    title: 'a legacy session nobody was given',
    step: 'legacySession',
    refused: 'session_mismatch',
    sent: { headers: { 'mcp-session-id': 'invented' } },
  },
  {
    title: 'a token older than the memory of the ledger',
    step: 'spend',
    refused: 'token_before_epoch',
    parts: () => ({ ledger: startingLedger() }),
  },
]

for (const { title, step, refused, sent = {}, claims, parts: more } of cases) {
  test(`${title} is refused: ${refused}`, async () => {
    const parts = makeParts(more?.())
    const right = mint(claimsFor({ args }, { definitionHash }))
    const token =
      claims === undefined ? right : mint(claimsFor({ args }, { definitionHash, ...claims }))
    const wrong = (): GateRequest => request({ message: callMessage(args), ...sent, token: token })

    assert.equal(await outcome(parts, wrong()), refused)
    const unchecked = await outcome(makeParts(more?.()), wrong(), without(step))
    assert.notEqual(unchecked, refused, `refused even without the step ${step}`)

    assert.deepEqual(parts.ledger.spent ?? [], [], 'nothing was spent')
    if (more === undefined) {
      assert.equal(
        await outcome(parts, request({ token: right, message: callMessage(args) })),
        'allowed',
      )
    }
  })
}

test('a revoked token is refused; without the step it would run', async () => {
  for (const target of ['jti', 'session', 'agent', 'principal'] as const) {
    const claims = claimsFor(
      { args },
      {
        definitionHash,
        sub: `user:${target}`,
        client_id: `${AGENT}/${target}`,
        sid: `sid-${target}`,
      },
    )
    const value = {
      jti: claims.jti,
      session: claims.sid,
      agent: claims.client_id,
      principal: claims.sub,
    }[target]
    const parts = makeParts()
    const sent = () => request({ token: mint(claims), message: callMessage(args) })
    await feed.publisher.revoke({
      target: { kind: target, value },
      until: clock.now() + 60,
      reason: 'test',
      by: 'test',
    })
    for (let n = 0; n < 40 && revocations.list().every((r) => r.target.value !== value); n++) {
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    assert.equal(await outcome(parts, sent()), `revoked ${target}`)
    assert.deepEqual(parts.ledger.spent, [])
    assert.equal(await outcome(makeParts(), sent(), without('notRevoked')), 'allowed')
  }
})

test('an actor in the chain that is revoked stops the token', async () => {
  const claims = claimsFor(
    { args },
    {
      definitionHash,
      act: { sub: 'spiffe://corp.example/outer', act: { sub: 'spiffe://corp.example/inner' } },
    },
  )
  const seen: unknown[] = []
  const parts = makeParts({ revocations: { check: (subject) => void seen.push(subject.agents) } })
  assert.equal(
    await outcome(parts, request({ token: mint(claims), message: callMessage(args) })),
    'allowed',
  )
  assert.deepEqual(seen, [[AGENT, 'spiffe://corp.example/outer', 'spiffe://corp.example/inner']])
})

test('a token signed by another key is refused', async () => {
  const token = mint(claimsFor({ args }, { definitionHash }), signingKey())
  assert.equal(
    await outcome(makeParts(), request({ token, message: callMessage(args) })),
    'token_invalid signature',
  )
})

test('a spent token buys nothing; without the step it would', async () => {
  const claims = claimsFor({ args }, { definitionHash })
  const token = mint(claims)
  const sent = () => request({ token, message: callMessage(args) })
  const parts = makeParts()
  assert.equal(await outcome(parts, sent()), 'allowed')
  // The name under which a broker that shares the store finds it.
  const { jti } = claims
  assert.deepEqual(parts.ledger.spent, [spendIdOf({ issuer: ISSUER, resource: RESOURCE, jti })])
  assert.equal(await outcome(parts, sent()), 'token_spent')
  assert.equal(await outcome(parts, sent(), without('spend')), 'allowed')
})

test('of fifty concurrent uses of one token exactly one is allowed', async () => {
  const token = mint(claimsFor({ args }, { definitionHash }))
  const parts = makeParts()
  const all = await Promise.all(
    Array.from({ length: 50 }, () =>
      outcome(parts, request({ token, message: callMessage(args) })),
    ),
  )
  assert.equal(all.filter((one) => one === 'allowed').length, 1)
  assert.equal(all.filter((one) => one === 'token_spent').length, 49)
})

test('a session token is good again, its proof is not', async () => {
  const token = mint(claimsFor('session'))
  const parts = makeParts()
  const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' }
  const once = request({ token, message: list })
  assert.equal(await outcome(parts, once), 'allowed')
  assert.equal(await outcome(parts, once), 'proof_replayed')
  assert.equal(await outcome(parts, request({ token, message: list })), 'allowed')
})

test('a session token from before the memory of the ledger is refused, and so is a task token', async () => {
  const parts = makeParts({ ledger: startingLedger() })
  const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' }
  const session = request({ token: mint(claimsFor('session')), message: list })
  assert.equal(await outcome(parts, session), 'token_before_epoch')
  const claims = claimsFor({ method: 'tasks/get', name: 'task-1' }, { maxUses: 2 })
  const poll = { jsonrpc: '2.0', id: 1, method: 'tasks/get', params: { taskId: 'task-1' } }
  assert.equal(
    await outcome(parts, request({ token: mint(claims), message: poll })),
    'token_before_epoch',
  )
  const { certificate, cnf } = await certified()
  const token = mint(claimsFor('session', { cnf }))
  const over = request({ token, message: list, scheme: 'Bearer', certificate })
  const certificates = certificatesOf({ certificates: true })
  assert.equal(await outcome({ ...parts, certificates }, over), 'token_before_epoch')
})

test('a session token calls no tool, whatever it carries', async () => {
  const token = mint(claimsFor('session'))
  assert.equal(
    await outcome(makeParts(), request({ token, message: callMessage(args) })),
    'scope_insufficient',
  )
})

test('a task token is good as often as it says, each time with a new proof', async () => {
  const claims = claimsFor({ method: 'tasks/get', name: 'task-1' }, { maxUses: 2 })
  const poll = { jsonrpc: '2.0', id: 1, method: 'tasks/get', params: { taskId: 'task-1' } }
  const parts = makeParts()
  const token = mint(claims)
  const first = request({ token, message: poll })
  assert.equal(await outcome(parts, first), 'allowed')
  assert.equal(await outcome(parts, first), 'token_spent')
  assert.equal(await outcome(parts, request({ token, message: poll })), 'allowed')
  assert.equal(await outcome(parts, request({ token, message: poll })), 'token_spent')
})

test('a parameter header that differs from the argument is refused', async () => {
  const token = mint(
    claimsFor(
      { name: 'marked', args: { region: 'eu' } },
      { definitionHash: hashDefinition(marked) },
    ),
  )
  const { message, headers } = modern(callMessage({ region: 'eu' }, 'marked'))
  const parts = makeParts()
  const wrong = request({ token, message, headers: { ...headers, 'mcp-param-region': 'us' } })
  assert.equal(await outcome(parts, wrong), 'header_mismatch mcp-param-region')
  assert.notEqual(
    await outcome(makeParts(), wrong, without('headersEqualBody')),
    'header_mismatch mcp-param-region',
  )
  const right = request({ token, message, headers: { ...headers, 'mcp-param-region': 'eu' } })
  assert.equal(await outcome(parts, right), 'allowed')
})

test('a later round with exactly the granted input runs', async () => {
  const input = { inputResponses: { ok: { action: 'accept' } }, requestState: 's' }
  const token = mint(claimsFor({ args, input }, { definitionHash }))
  const parts = makeParts()
  const changed = { ...input, requestState: 't' }
  const of = (round: object) =>
    request({ token, message: callMessage(args, 'add_note', round as never) })
  assert.equal(await outcome(parts, of(changed)), 'action_mismatch input')
  assert.equal(await outcome(parts, of({})), 'action_mismatch input')
  assert.equal(await outcome(parts, of(input)), 'allowed')
})

test('the steps are in the order of the design', () => {
  assert.deepEqual(
    STEPS.map((step) => step.name),
    [
      'pathHostAndOrigin',
      'httpForm',
      'oneMessage',
      'headersEqualBody',
      'oneAuthorization',
      'accessToken',
      'binding',
      'scope',
      'action',
      'legacySession',
      'notRevoked',
      'spend',
    ],
  )
})

test('every step stands in at least one case', () => {
  const covered = new Set([...cases.map((one) => one.step), 'notRevoked', 'spend'])
  assert.deepEqual(
    STEPS.map((step) => step.name).filter((name) => !covered.has(name)),
    [],
  )
})
