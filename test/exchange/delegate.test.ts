// One agent lets the next go on: what it may hand over, to whom, and what the next one can do with it.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { hashArguments } from '../../src/action/hash.ts'
import type { Broker, ExchangeRequest, Step } from '../../src/exchange/broker.ts'
import { exchange } from '../../src/exchange/exchange.ts'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import type { Reason } from '../../src/refusal.ts'
import { DELEGATION_TOKEN_TYPE } from '../../src/token/delegation.ts'
import { parseJws, signJws } from '../../src/token/jws.ts'
import { sessionId } from '../../src/token/session-id.ts'
import {
  asking,
  BANK,
  ceiling,
  claimsOf,
  delegationOf,
  detailsOf,
  handingOn,
  ISSUER,
  id,
  JWT,
  NOTES,
  type Party,
  proof,
  type Rig,
  refused,
  seconds,
  startRig,
  under,
} from './rig.ts'

let rig: Rig
before(async () => {
  rig = await startRig()
})
after(() => rig?.close())

type Change = Partial<ExchangeRequest>
const party = (name: string): Party => rig.party(name)
const ACTOR = { iss: 'spiffe://corp.test', sub_profile: 'ai_agent' }
const sidOf = (name: string, principal = id(name)) =>
  sessionId(id(name), principal, { jkt: party(name).key.jkt })

const keyOf = (name: string) => party(name).key.jkt

/** A delegation token of `from` for `to`. */
async function handed(
  from: string,
  to: string,
  options: Parameters<typeof handingOn>[2] = {},
): Promise<string> {
  return (await exchange(await handingOn(party(from), party(to), options), rig.broker)).token
}

/** What `name` asks for under a delegation. */
async function using(name: string, delegation: string, change: Change = {}) {
  return asking(party(name), { ...(await under(party(name), delegation)), ...change })
}

const exceeded = (
  part: 'location' | 'method' | 'identifier' | 'arguments' | 'element',
): Reason => ({
  code: 'ceiling_exceeded',
  part,
})
const no = (check: 'may_act' | 'actor' | 'depth' | 'key' | 'resource'): Reason => ({
  code: 'delegation_refused',
  check,
})

test('a delegation token says who lets whom do what, for the broker alone, and is no access token', async () => {
  const steps: Step[] = []
  const broker: Broker = { ...rig.broker, onStep: (step) => void steps.push(step) }
  const request = await handingOn(party('a'), party('b'), {
    details: ceiling({ task: 'invoice-1' }),
  })
  const granted = await exchange(request, broker)
  assert.deepEqual(steps.join(), 'prove,spend,check,understand,decide,approve,record,mint')
  assert.equal(granted.tokenType, 'N_A')
  assert.equal(granted.issuedTokenType, DELEGATION_TOKEN_TYPE)
  assert.equal(granted.scope, undefined)
  assert.deepEqual(granted.details, ceiling())
  const { header } = parseJws(granted.token)
  assert.deepEqual(Object.keys(header).sort(), ['alg', 'kid', 'typ'])
  assert.equal(header.typ, 'writ-delegation+jwt')
  const { jti, iat, exp, ...claims } = delegationOf(granted.token)
  assert.deepEqual(claims, {
    iss: ISSUER,
    aud: ISSUER,
    sub: id('a'),
    client_id: id('a'),
    act: { sub: id('a'), ...ACTOR },
    may_act: { sub: id('b') },
    cnf: { jkt: party('b').key.jkt },
    authorization_details: ceiling(),
    txn: 'invoice-1',
    via: [sidOf('a'), keyOf('a')],
    sid: sidOf('a'),
  })
  assert.equal(exp - iat, granted.expiresInSeconds)
  const record = rig.records.at(-1)
  assert.equal(record?.outcome, 'issued')
  assert.equal(record?.kind, 'delegation')
  assert.equal(record?.jti, jti)
  assert.equal(record?.delegate, id('b'))
  assert.equal(record?.task, 'invoice-1')
  assert.deepEqual(record?.ceiling, ceiling())
  assert.deepEqual(record?.policies, ['agents'])
  assert.ok(!JSON.stringify(rig.records).includes(granted.token))
})

test('the next agent acts on behalf of the first, again and again, and the token says so', async () => {
  const delegation = await handed('a', 'b', { details: ceiling({ task: 'invoice-2' }) })
  const { jti } = delegationOf(delegation)
  for (let round = 0; round < 2; round++) {
    const details = detailsOf('transfer', { amount: round }, { task: 'another-task' })
    const claims = claimsOf(await exchange(await using('b', delegation, { details }), rig.broker))
    assert.equal(claims.sub, id('a'))
    assert.equal(claims.client_id, id('b'))
    assert.deepEqual(claims.act, { sub: id('b'), ...ACTOR, act: { sub: id('a'), ...ACTOR } })
    assert.deepEqual(claims.via, [sidOf('a'), keyOf('a'), jti])
    assert.equal(claims.sid, sidOf('b', id('a')))
    assert.equal(claims.txn, 'invoice-2')
    assert.deepEqual(claims.cnf, { jkt: party('b').key.jkt })
  }
  const record = rig.records.at(-1)
  assert.equal(record?.kind, undefined)
  assert.equal(record?.task, 'invoice-2')
  assert.deepEqual(record?.actors, [id('b'), id('a')])
  assert.deepEqual(record?.links, [sidOf('a'), keyOf('a'), jti])
})

test('a user, an agent, and the next one: the chain grows, the user stays', async () => {
  const subject = { token: rig.user(), tokenType: JWT }
  const actor = { token: await party('a').svid(), tokenType: JWT }
  const first = await handed('a', 'b', { change: { subject, actor } })
  const second = await handed('b', 'c', { parent: first })
  const claims = claimsOf(await exchange(await using('c', second), rig.broker))
  const alice = 'user:corp:alice'
  assert.equal(claims.sub, alice)
  const [a, b, c] = ['a', 'b', 'c'].map((name) => ({ sub: id(name), ...ACTOR }))
  assert.deepEqual(claims.act, { ...c, act: { ...b, act: a } })
  const jtis = [first, second].map((token) => delegationOf(token).jti)
  assert.deepEqual(claims.via, [
    ...[sidOf('a', alice), keyOf('a'), jtis[0]],
    ...[sidOf('b', alice), keyOf('b'), jtis[1]],
  ])
})

test('a delegation may be used with the declared type JWT, with no other', async () => {
  const delegation = await handed('a', 'b')
  const as = async (tokenType: string) =>
    using('b', delegation, { subject: { token: delegation, tokenType } })
  await exchange(await as(JWT), rig.broker)
  for (const name of ['id_token', 'access_token']) {
    const request = await as(`urn:ietf:params:oauth:token-type:${name}`)
    await refused(rig, request, { code: 'identity_invalid', check: 'token_type' })
  }
  const svid = { token: await party('b').svid(), tokenType: DELEGATION_TOKEN_TYPE }
  for (const change of [{ subject: svid }, { actor: svid }]) {
    const request = await asking(party('b'), change)
    await refused(rig, request, { code: 'identity_invalid', check: 'token_type' })
  }
})

const USES: readonly (readonly [string, (delegation: string) => Promise<Change>, Reason])[] = [
  ['nobody', async () => ({ actor: undefined }), { code: 'identity_missing' }],
  [
    'another agent',
    async () => ({
      actor: { token: await party('c').svid(), tokenType: JWT },
      proofHeaders: [proof(party('c'))],
    }),
    no('may_act'),
  ],
  [
    'the agent that handed it over',
    async () => ({
      actor: { token: await party('a').svid(), tokenType: JWT },
      proofHeaders: [proof(party('a'))],
    }),
    no('may_act'),
  ],
  [
    'the next agent with another key',
    async () => ({ proofHeaders: [proof(party('c'))] }),
    no('key'),
  ],
  [
    'the next agent with its certificate only',
    async () => ({ proofHeaders: [], certificate: await rig.certificate('b') }),
    no('key'),
  ],
  [
    'whoever shows it as the actor',
    async (token) => ({
      subject: { token: rig.user(), tokenType: JWT },
      actor: { token, tokenType: JWT },
    }),
    no('actor'),
  ],
  [
    'whoever shows it as the actor beside itself',
    async (token) => ({ actor: { token, tokenType: DELEGATION_TOKEN_TYPE } }),
    no('actor'),
  ],
  [
    'whoever shows it as a client assertion',
    async (assertion) => ({ client: { method: 'spiffe_jwt', assertion, clientId: undefined } }),
    no('actor'),
  ],
  [
    'whoever shows it as an assertion of a key',
    async (assertion) => ({ client: { method: 'private_key_jwt', assertion, clientId: 'b' } }),
    no('actor'),
  ],
]

for (const [who, change, reason] of USES) {
  test(`${who} cannot use a delegation made for an agent and its key`, async () => {
    const delegation = await handed('a', 'b')
    await refused(rig, await using('b', delegation, await change(delegation)), reason)
  })
}

test('a delegation that was changed, expired or signed by another is none', async () => {
  const delegation = await handed('a', 'b')
  const other = { cty: 'x', typ: 'writ-delegation+jwt' }
  const key = rig.keys.current(seconds())
  const respelt = signJws(other, delegationOf(delegation) as unknown as JsonObject, key)
  const strangeToken = { token: respelt, tokenType: JWT }
  const user = { token: rig.user(), tokenType: JWT }
  for (const change of [{ subject: strangeToken }, { subject: user, actor: strangeToken }]) {
    const strange = await using('b', respelt, change)
    await refused(rig, strange, { code: 'identity_invalid', check: 'typ' })
  }
  const [header, payload, signature] = delegation.split('.') as [string, string, string]
  const claims = { ...delegationOf(delegation), may_act: { sub: id('c') } }
  const changed = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`
  const request = await using('b', changed)
  await refused(rig, request, { code: 'identity_invalid', check: 'signature' })
  const now = delegationOf(delegation).exp
  const late = { ...(await using('b', delegation)), now, proofHeaders: [] }
  const certificate = await rig.certificate('b')
  await refused(rig, { ...late, certificate }, { code: 'identity_invalid', check: 'expiry' })
  assert.ok(payload.length > 0)
})

const TRANSFER_5 = hashArguments({ amount: 5 })
const CEILINGS: readonly (readonly [string, Json, Change, Reason | undefined])[] = [
  ['the very tool', ceiling(), {}, undefined],
  ['another tool', ceiling(), { details: detailsOf('list') }, exceeded('identifier')],
  [
    'another server',
    ceiling(),
    { resource: NOTES, details: detailsOf('list', {}, { locations: [NOTES] }) },
    exceeded('location'),
  ],
  ['another method', ceiling({ actions: ['prompts/get'] }), {}, exceeded('method')],
  ['a session where it may do something', ceiling(), { details: undefined }, undefined],
  ['a session elsewhere', ceiling(), { resource: NOTES, details: undefined }, exceeded('location')],
  [
    'the very arguments',
    ceiling({ arguments_hash: TRANSFER_5 }),
    { details: detailsOf('transfer', { amount: 5 }) },
    undefined,
  ],
  [
    'other arguments',
    ceiling({ arguments_hash: TRANSFER_5 }),
    { details: detailsOf('transfer', { amount: 6 }) },
    exceeded('arguments'),
  ],
  [
    'a later round of the very call',
    ceiling({ arguments_hash: TRANSFER_5 }),
    { details: detailsOf('transfer', { amount: 5 }, { input: { requestState: 's' } }) },
    undefined,
  ],
  [
    'one element’s tool at another element’s server',
    ceiling({ identifiers: ['transfer'] }, { locations: [NOTES], identifiers: ['list'] }),
    { details: detailsOf('list') },
    exceeded('identifier'),
  ],
  [
    'the second element',
    ceiling({ identifiers: ['transfer'] }, { identifiers: ['list'] }),
    { details: detailsOf('list') },
    undefined,
  ],
  [
    'what was delegated and policy forbids the next agent',
    ceiling({ identifiers: ['close'] }),
    { details: detailsOf('close') },
    { code: 'policy_denied', policies: ['never'] },
  ],
]

for (const [what, details, change, reason] of CEILINGS) {
  test(`${what}: ${reason === undefined ? 'granted' : `${reason.code} under that ceiling`}`, async () => {
    const request = await using('b', await handed('a', 'b', { details }), change)
    if (reason !== undefined) return refused(rig, request, reason)
    await exchange(request, rig.broker)
  })
}

test('a task token is good for the methods of its task that the ceiling names, and for no other', async () => {
  const task = { actions: ['tasks/get', 'tasks/result'], identifiers: ['t-1'] }
  const delegation = await handed('a', 'b', { details: ceiling(task) })
  const ask = (method: string) => [
    { type: 'mcp_action', locations: [BANK], actions: [method], identifier: 't-1' },
  ]
  const granted = await exchange(
    await using('b', delegation, { details: ask('tasks/get') }),
    rig.broker,
  )
  const [detail] = claimsOf(granted).authorization_details as [JsonObject]
  assert.deepEqual(detail.actions, ['tasks/get', 'tasks/result'])
  assert.deepEqual(granted.details?.[0]?.actions, ['tasks/get', 'tasks/result'])
  const request = await using('b', delegation, { details: ask('tasks/cancel') })
  await refused(rig, request, exceeded('method'))
})

const malformed = (detail: string): Reason => ({ code: 'request_malformed', detail })
const details = (detail: string): Reason => ({ code: 'details_invalid', detail })
const HANDING: readonly (readonly [
  string,
  () => Promise<Parameters<typeof handingOn>[2]>,
  Reason,
])[] = [
  [
    'to nobody in particular',
    async () => ({ change: { delegateTo: { workload: '*', jkt: party('b').key.jkt } } }),
    malformed('may_act is no id of a workload'),
  ],
  [
    'to a whole trust domain',
    async () => ({
      change: { delegateTo: { workload: 'spiffe://corp.test', jkt: party('b').key.jkt } },
    }),
    malformed('may_act is no id of a workload'),
  ],
  [
    'to a user',
    async () => ({
      change: { delegateTo: { workload: 'user:corp:bob', jkt: party('b').key.jkt } },
    }),
    malformed('may_act is no id of a workload'),
  ],
  [
    'to no key',
    async () => ({ change: { delegateTo: { workload: id('b'), jkt: 'x' } } }),
    malformed('may_act_jkt is no thumbprint of a key'),
  ],
  [
    'for a single resource',
    async () => ({ change: { resource: BANK } }),
    malformed('a delegation token is for no single resource'),
  ],
  [
    'nothing',
    async () => ({ change: { details: undefined } }),
    details('a ceiling must be an array of 1 to 16 elements'),
  ],
  [
    'an action instead of a ceiling',
    async () => ({ details: detailsOf('transfer') }),
    details('type must be mcp_ceiling'),
  ],
  [
    'a pattern',
    async () => ({ details: ceiling({ identifiers: ['*'] }) }),
    details('identifiers must be an array of 1 to 64 different names'),
  ],
  [
    'two tasks at once',
    async () => ({ details: ceiling({ task: 'a' }, { task: 'b' }) }),
    details('task must be one label for all elements'),
  ],
  [
    'a server nobody knows',
    async () => ({ details: ceiling({ locations: [BANK, 'https://other.test/mcp'] }) }),
    { code: 'server_unknown', server: 'https://other.test/mcp' },
  ],
  [
    'to an agent that policy does not let act',
    async () => ({ change: { delegateTo: { workload: id('outsider'), jkt: party('b').key.jkt } } }),
    { code: 'policy_denied', policies: ['no-outsiders'] },
  ],
  [
    'what a person must approve',
    async () => ({ details: ceiling({ identifiers: ['ask'] }) }),
    { code: 'approval_required', policies: ['agents', 'ask'] },
  ],
  [
    'what a person must approve, in one element of two',
    async () => ({ details: ceiling({ identifiers: ['ask'] }, {}) }),
    { code: 'approval_required', policies: ['agents', 'ask'] },
  ],
  [
    'more than the user’s token is for',
    async () => ({
      details: ceiling({ locations: [BANK, NOTES] }),
      change: {
        subject: {
          token: rig.user({ client_id: id('a'), jti: 'j', resource: BANK }, 'oauth-id-jag+jwt'),
          tokenType: JWT,
        },
        actor: { token: await party('a').svid(), tokenType: JWT },
      },
    }),
    no('resource'),
  ],
]

for (const [what, options, reason] of HANDING) {
  test(`nobody hands on ${what}`, async () => {
    await refused(rig, await handingOn(party('a'), party('b'), await options()), reason)
    assert.equal(rig.records.at(-1)?.kind, 'delegation')
  })
}

test('an agent without permission at one of the servers hands on nothing', async () => {
  const asked: unknown[] = []
  const broker: Broker = {
    ...rig.broker,
    policies: {
      decide(input) {
        asked.push([
          input.server,
          input.delegation?.element.identifiers,
          input.delegation?.delegate,
        ])
        const effect = input.server === NOTES ? 'deny' : 'permit'
        return { ...rig.broker.policies.decide(input), effect }
      },
    },
  }
  const both = ceiling({}, { locations: [BANK, NOTES], identifiers: ['list'] })
  const request = await handingOn(party('a'), party('b'), { details: both })
  await refused(rig, request, { code: 'policy_denied', policies: ['agents', 'short'] }, broker)
  assert.deepEqual(rig.records.at(-1)?.decision, 'deny')
  assert.deepEqual(asked, [
    [BANK, ['transfer'], id('b')],
    [BANK, ['list'], id('b')],
    [NOTES, ['list'], id('b')],
  ])
})

test('a policy that wants a certificate as the key has nothing handed on to a DPoP key', async () => {
  const decide: Broker['policies']['decide'] = (input) => ({
    ...rig.broker.policies.decide(input),
    binding: 'mtls',
  })
  const request = await handingOn(party('a'), party('b'))
  const broker = { ...rig.broker, policies: { decide } }
  await refused(rig, request, { code: 'binding_missing' }, broker)
})

test('an agent that no policy permits to hand on cannot, though it may do the thing itself', async () => {
  const request = await asking(party('a'), {
    ...(await handingOn(party('a'), party('b'))),
    subject: { token: rig.runner(), tokenType: JWT },
  })
  await refused(rig, request, { code: 'policy_denied', policies: [] })
})

test('the next agent’s own policies decide what it does: a delegation adds no power to it', async () => {
  const outsider = party('outsider')
  const claims = { ...delegationOf(await handed('a', 'b')), may_act: { sub: outsider.id } }
  const stretched = { ...claims, cnf: { jkt: outsider.key.jkt } } as unknown as JsonObject
  const token = signJws({ typ: 'writ-delegation+jwt' }, stretched, rig.keys.current(seconds()))
  await refused(rig, await using('outsider', token), { code: 'policy_denied', policies: [] })
})

test('a further delegation stays within the one before', async () => {
  const wide = { identifiers: ['transfer', 'list'], locations: [BANK, NOTES] }
  const first = await handed('a', 'b', { details: ceiling(wide) })
  const cases: readonly (readonly [Json, boolean])[] = [
    [ceiling(wide), true],
    [ceiling({ identifiers: ['list'], locations: [NOTES] }), true],
    [ceiling({ identifiers: ['list'], arguments_hash: TRANSFER_5 }), true],
    [ceiling({ identifiers: ['list', 'add'] }), false],
    [ceiling({ actions: ['tools/call', 'prompts/get'] }), false],
    [ceiling({}, { identifiers: ['add'] }), false],
  ]
  for (const [asked, fits] of cases) {
    const request = await handingOn(party('b'), party('c'), { parent: first, details: asked })
    if (fits) await exchange(request, rig.broker)
    else await refused(rig, request, exceeded('element'))
  }
  const fixed = await handed('a', 'b', { details: ceiling({ arguments_hash: TRANSFER_5 }) })
  const request = await handingOn(party('b'), party('c'), { parent: fixed })
  await refused(rig, request, exceeded('element'))
})

test('a further delegation ends with the one before, keeps its task and links to all before it', async () => {
  const first = await handed('a', 'b', {
    details: ceiling({ task: 'root', locations: [NOTES], identifiers: ['add'] }),
  })
  const parent = delegationOf(first)
  assert.equal(parent.exp - parent.iat, 40, 'the policy shortens it')
  const second = delegationOf(
    await handed('b', 'c', {
      parent: first,
      details: ceiling({ task: 'mine', locations: [NOTES], identifiers: ['add'] }),
    }),
  )
  assert.equal(second.exp, parent.exp)
  assert.equal(second.txn, 'root')
  assert.equal(second.client_id, id('b'))
  assert.deepEqual(second.via, [
    ...[sidOf('a'), keyOf('a'), parent.jti],
    ...[sidOf('b', id('a')), keyOf('b')],
  ])
  const request = await using(
    'c',
    await handed('b', 'c', {
      parent: first,
      details: ceiling({ locations: [NOTES], identifiers: ['add'] }),
    }),
    { resource: NOTES, details: detailsOf('add', {}, { locations: [NOTES] }) },
  )
  assert.ok(claimsOf(await exchange(request, rig.broker)).exp <= parent.exp)
})

test('a delegation ends with the proofs it was asked for with', async () => {
  const subject = { token: await party('a').svid(25), tokenType: JWT }
  const { iat, exp } = delegationOf(await handed('a', 'b', { change: { subject } }))
  assert.ok(exp - iat <= 25)
})

test('no more agents in a row than configured: the last one may use it and not hand it on', async () => {
  const first = await handed('a', 'b')
  const second = await handed('b', 'c', { parent: first })
  await exchange(await using('c', second), rig.broker)
  const request = await handingOn(party('c'), party('d'), { parent: second })
  await refused(rig, request, no('depth'))
})

test('an agent that is let go on for itself may, under the ceiling', async () => {
  const back = await handed('b', 'a', { parent: await handed('a', 'b') })
  const claims = claimsOf(await exchange(await using('a', back), rig.broker))
  assert.equal(claims.sub, id('a'))
  assert.deepEqual(claims.act?.act?.sub, id('b'))
  const request = await using('a', back, { details: detailsOf('list') })
  await refused(rig, request, exceeded('identifier'))
})
