// Who asks, on whose behalf, with which key: every rule of docs/delegation.md for users and workloads.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Broker, ExchangeRequest } from '../../src/exchange/broker.ts'
import { exchange } from '../../src/exchange/exchange.ts'
import { type Reason, refuse } from '../../src/refusal.ts'
import type { Actor } from '../../src/token/claims.ts'
import { sessionId } from '../../src/token/session-id.ts'
import {
  asking,
  BANK,
  CI,
  claimsOf,
  detailsOf,
  handingOn,
  ISSUER,
  id,
  JWT,
  MTLS_URL,
  NOTES,
  proof,
  type Rig,
  refused,
  seconds,
  startRig,
  x5t,
} from './rig.ts'

let rig: Rig
before(async () => {
  rig = await startRig()
})
after(() => rig?.close())

type Change = Partial<ExchangeRequest>
const token = (text: string, tokenType = JWT) => ({ token: text, tokenType })
const ACTOR = { iss: 'spiffe://corp.test', sub_profile: 'ai_agent' }
const ALICE = 'user:corp:alice'
const ID_JAG = 'oauth-id-jag+jwt'

interface Outcome {
  readonly sub: string
  readonly client: string
  readonly act?: Actor
  readonly type?: 'DPoP' | 'Bearer'
}

const svid = async (name: string) => token(await rig.party(name).svid())
const asUser = async (claims = {}, more: Change = {}, typ?: string): Promise<Change> => ({
  subject: token(rig.user(claims, typ)),
  actor: await svid('a'),
  ...more,
})
const x509 = (name: string) => ({ method: 'spiffe_x509', clientId: id(name) }) as const
const jwtClient = async (name: string) =>
  ({
    method: 'spiffe_jwt',
    assertion: await rig.party(name).svid(),
    clientId: undefined,
  }) as const
const keyClient = (name: string) =>
  ({ method: 'private_key_jwt', assertion: rig.assertion(name), clientId: undefined }) as const

const forAlice: Outcome = { sub: ALICE, client: id('a'), act: { sub: id('a'), ...ACTOR } }
const itself: Outcome = { sub: id('a'), client: id('a') }

const GRANTED: readonly (readonly [string, () => Promise<Change>, Outcome])[] = [
  ['a workload by its own token', async () => ({}), itself],
  ['a workload by its token, twice', async () => ({ actor: await svid('a') }), itself],
  [
    'a workload by an assertion of its SVID',
    async () => ({ subject: undefined, client: await jwtClient('a') }),
    itself,
  ],
  [
    'a workload by the key of a registered client',
    async () => ({ subject: undefined, client: keyClient('a') }),
    itself,
  ],
  [
    'a workload by its certificate, which is the key as well',
    async () => ({
      subject: undefined,
      client: x509('a'),
      certificate: await rig.certificate('a'),
      proofHeaders: [],
    }),
    { ...itself, type: 'Bearer' },
  ],
  [
    'a workload by its certificate alone, with a key of its own besides',
    async () => ({ subject: undefined, certificate: await rig.certificate('a') }),
    { ...itself, type: 'DPoP' },
  ],
  [
    'a workload by its token, bound to its certificate',
    async () => ({ certificate: await rig.certificate('a'), proofHeaders: [] }),
    { ...itself, type: 'Bearer' },
  ],
  ['a user and who acts, by actor token', () => asUser(), forAlice],
  [
    'a user and who acts, by assertion',
    async () => asUser({}, { actor: undefined, client: await jwtClient('a') }),
    forAlice,
  ],
  [
    'a user and who acts, by the key of a registered client',
    () => asUser({}, { actor: undefined, client: keyClient('a') }),
    forAlice,
  ],
  [
    'a user and who acts, by certificate',
    async () => asUser({}, { actor: undefined, certificate: await rig.certificate('a') }),
    forAlice,
  ],
  ['a user who names who may act', () => asUser({ may_act: { sub: id('a') } }), forAlice],
  ['a user whose token says who acts', () => asUser({ act: { sub: id('a') } }), forAlice],
  [
    'a user whose token says who acts, and of whom it is not the issuer’s to say',
    () => asUser({ act: { sub: id('a'), iss: 'https://elsewhere.test', sub_profile: 'user' } }),
    forAlice,
  ],
  [
    'a user for whom others acted before',
    () => asUser({ act: { sub: id('a'), act: { sub: id('z') } } }),
    { ...forAlice, act: { sub: id('a'), ...ACTOR, act: { sub: id('z') } } },
  ],
  [
    'a user for whom another acts, who lets this one go on',
    () => asUser({ act: { sub: id('z') }, may_act: { sub: id('a') } }),
    { ...forAlice, act: { sub: id('a'), ...ACTOR, act: { sub: id('z') } } },
  ],
  [
    'an identity assertion made for this agent',
    () => asUser({ client_id: id('a'), jti: 'j1' }, {}, ID_JAG),
    forAlice,
  ],
  [
    'an identity assertion for this resource',
    () => asUser({ client_id: id('a'), jti: 'j2', resource: [NOTES, BANK] }, {}, ID_JAG),
    forAlice,
  ],
  [
    'an identity assertion for actions',
    () => asUser({ client_id: id('a'), jti: 'j8', scope: 'openid mcp:action' }, {}, ID_JAG),
    forAlice,
  ],
  [
    'a user’s token bound to the key that is proved',
    () => asUser({ cnf: { jkt: rig.party('a').key.jkt } }),
    forAlice,
  ],
]

for (const [who, change, outcome] of GRANTED) {
  test(`${who}: a token for exactly that`, async () => {
    const request = await asking(rig.party('a'), { ...(await change()) })
    const granted = await exchange(request, rig.broker)
    const claims = claimsOf(granted)
    const key =
      request.proofHeaders.length > 0
        ? { jkt: rig.party('a').key.jkt }
        : { 'x5t#S256': x5t(request.certificate!) }
    assert.equal(claims.sub, outcome.sub)
    assert.equal(claims.client_id, outcome.client)
    assert.deepEqual(claims.act, outcome.act)
    assert.deepEqual(claims.cnf, key)
    assert.equal(claims.sid, sessionId(outcome.client, outcome.sub, key))
    assert.equal(claims.via, undefined)
    assert.equal(granted.tokenType, outcome.type ?? 'DPoP')
    const actors: string[] = []
    for (let each = outcome.act; each !== undefined; each = each.act) actors.push(each.sub)
    const record = rig.records.at(-1)
    assert.equal(record?.principal, outcome.sub)
    assert.deepEqual(record?.actors, actors.length > 0 ? actors : undefined)
    assert.equal(record?.session, claims.sid)
  })
}

test('a workload by an issuer’s token is named by the issuer, who stands beside it as an actor', async () => {
  const request = await asking(rig.party('a'), {
    subject: token(rig.runner()),
    details: undefined,
  })
  assert.equal(claimsOf(await exchange(request, rig.broker)).sub, 'oidc:ci:repo:acme/app')
  const broker: Broker = { ...rig.broker, policies: { decide: permitting } }
  const acting = { ...request, proofHeaders: [proof(rig.party('a'))] }
  const forUser = { ...acting, subject: token(rig.user()), actor: token(rig.runner()) }
  const { act } = claimsOf(await exchange(forUser, broker))
  assert.deepEqual(act, { sub: 'oidc:ci:repo:acme/app', iss: CI, sub_profile: 'ai_agent' })
})

const permitting: Broker['policies']['decide'] = () => ({
  effect: 'permit',
  policies: ['p'],
  version: '1',
  lifetimeSeconds: undefined,
  binding: undefined,
  maxUses: 1,
})

const missing: Reason = { code: 'identity_missing' }
const conflict = (between: string): Reason => ({ code: 'identity_conflict', between })
const no = (
  check: 'may_act' | 'actor' | 'client' | 'depth' | 'key' | 'resource' | 'scope',
): Reason => ({
  code: 'delegation_refused',
  check,
})

/** `depth` workloads, the asking one outermost. */
function chain(depth: number): Actor {
  let act: Actor | undefined
  for (let at = depth; at > 1; at--)
    act = { sub: id(`z${at}`), ...(act === undefined ? {} : { act }) }
  return { sub: id('a'), ...(act === undefined ? {} : { act }) }
}

const REFUSED: readonly (readonly [string, () => Promise<Change>, Reason])[] = [
  ['nobody', async () => ({ subject: undefined }), missing],
  ['a user alone', () => asUser({}, { actor: undefined }), missing],
  [
    'a client that names its certificate and has none',
    async () => ({ subject: undefined, client: x509('a') }),
    missing,
  ],
  [
    'a client that names another id than its certificate',
    async () => ({
      subject: undefined,
      client: x509('b'),
      certificate: await rig.certificate('a'),
    }),
    conflict('client_id and certificate'),
  ],
  [
    'an agent that shows another agent’s identity as its subject',
    async () => ({ subject: await svid('b'), actor: await svid('a') }),
    conflict('subject_token and actor_token'),
  ],
  [
    'a token of one workload and an assertion of another',
    async () => ({ client: await jwtClient('b') }),
    conflict('subject_token and client authentication'),
  ],
  [
    'a token of one workload and the client key of another',
    async () => ({ client: keyClient('b') }),
    conflict('subject_token and client authentication'),
  ],
  [
    'a token of one workload over the certificate of another',
    async () => ({ certificate: await rig.certificate('b') }),
    conflict('subject_token and certificate'),
  ],
  [
    'a user, an actor and a certificate that is not the actor’s',
    async () => asUser({}, { certificate: await rig.certificate('b') }),
    conflict('actor_token and certificate'),
  ],
  ['a user as the actor', async () => ({ actor: token(rig.user()) }), no('actor')],
  [
    'a user as the actor of another',
    () => asUser({}, { actor: token(rig.user({ sub: 'bob' })) }),
    no('actor'),
  ],
  [
    'an actor for nobody',
    async () => ({ subject: undefined, actor: await svid('a'), client: await jwtClient('a') }),
    no('actor'),
  ],
  ['a user who names another', () => asUser({ may_act: { sub: id('b') } }), no('may_act')],
  ['a user for whom another acts', () => asUser({ act: { sub: id('b') } }), no('actor')],
  [
    'a user for whom it acted once, and another acts now',
    () => asUser({ act: { sub: id('b'), act: { sub: id('a') } } }),
    no('actor'),
  ],
  [
    'an identity assertion made for another agent',
    () => asUser({ client_id: id('b'), jti: 'j3' }, {}, ID_JAG),
    no('client'),
  ],
  [
    'an identity assertion for another resource',
    () => asUser({ client_id: id('a'), jti: 'j4', resource: NOTES }, {}, ID_JAG),
    no('resource'),
  ],
  [
    'an identity assertion for sessions, to act',
    () => asUser({ client_id: id('a'), jti: 'j5', scope: 'mcp:session' }, {}, ID_JAG),
    no('scope'),
  ],
  [
    'an identity assertion for actions, to open a session',
    () =>
      asUser(
        { client_id: id('a'), jti: 'j6', scope: 'mcp:action' },
        { details: undefined },
        ID_JAG,
      ),
    no('scope'),
  ],
  [
    'an identity assertion for sessions, to hand work on',
    () => {
      const delegateTo = { workload: id('b'), jkt: rig.party('b').key.jkt }
      const asked = { resource: undefined, details: undefined, delegateTo }
      return asUser({ client_id: id('a'), jti: 'j7', scope: 'mcp:session' }, asked, ID_JAG)
    },
    no('scope'),
  ],
  [
    'a user’s token bound to a key that was not proved',
    () => asUser({ cnf: { jkt: rig.party('b').key.jkt } }),
    no('key'),
  ],
  [
    'a user’s token bound to a certificate, with a DPoP key of that thumbprint only in name',
    () => asUser({ cnf: { 'x5t#S256': rig.party('a').key.jkt } }),
    no('key'),
  ],
  ['more actors in a row than are allowed', () => asUser({ act: chain(4) }), no('depth')],
  [
    'more actors in a row with the one that asks',
    () => asUser({ act: { ...chain(3), sub: id('z') }, may_act: { sub: id('a') } }),
    no('depth'),
  ],
  [
    'a certificate of a resumed connection',
    async () => ({ certificate: { ...(await rig.certificate('a')), resumed: true } }),
    { code: 'identity_invalid', check: 'resumed' },
  ],
  [
    'a connection that shows no certificate at all',
    async () => ({ certificate: { chain: [], resumed: false } }),
    { code: 'identity_invalid', check: 'certificate' },
  ],
  [
    'neither proof nor certificate',
    async () => ({ proofHeaders: [] }),
    { code: 'binding_missing' },
  ],
  [
    'a proof made for another endpoint',
    async () => ({ endpoint: MTLS_URL, proofHeaders: [proof(rig.party('a'))] }),
    { code: 'proof_invalid', check: 'url' },
  ],
]

for (const [who, change, reason] of REFUSED) {
  test(`${who}: refused, and recorded with the reason`, async () => {
    await refused(rig, await asking(rig.party('a'), await change()), reason)
  })
}

test('the longest row of actors that is allowed', async () => {
  const request = await asking(rig.party('a'), await asUser({ act: chain(3) }))
  assert.deepEqual(claimsOf(await exchange(request, rig.broker)).act, {
    ...ACTOR,
    ...chain(3),
  })
})

test('no proof of identity, no matter how many, stands for another one that is forged', async () => {
  const forged = `${(await rig.party('a').svid()).slice(0, -4)}AAAA`
  for (const change of [
    { subject: token(forged), actor: await svid('a') },
    { actor: token(forged) },
    { client: { method: 'spiffe_jwt', assertion: forged, clientId: undefined } as const },
  ]) {
    const request = await asking(rig.party('a'), change)
    await assert.rejects(exchange(request, rig.broker), /identity_invalid/)
  }
})

test('our own tokens prove nobody: not an action token, not a session token', async () => {
  for (const details of [detailsOf('transfer'), undefined]) {
    const request = await asking(rig.party('a'), { details })
    const own = token((await exchange(request, rig.broker)).token)
    for (const change of [{ subject: own }, { actor: own }]) {
      const again = await asking(rig.party('a'), change)
      await refused(rig, again, { code: 'identity_invalid', check: 'typ' })
    }
  }
})

test('a policy picks the key of the token when two are proved, and refuses one that is not there', async () => {
  const certificate = await rig.certificate('a')
  const jkt = { jkt: rig.party('a').key.jkt }
  const thumbprint = { 'x5t#S256': x5t(certificate) }
  const cases = [
    ['transfer', { certificate }, jkt],
    ['certified', { certificate }, thumbprint],
    ['proved', { certificate }, jkt],
    ['proved', {}, jkt],
    ['certified', { certificate, proofHeaders: [] }, thumbprint],
  ] as const
  for (const [name, change, cnf] of cases) {
    const request = await asking(rig.party('a'), { details: detailsOf(name), ...change })
    const granted = await exchange(request, rig.broker)
    assert.deepEqual(claimsOf(granted).cnf, cnf, name)
    assert.equal(claimsOf(granted).sid, sessionId(id('a'), id('a'), cnf))
    assert.equal(granted.tokenType, 'jkt' in cnf ? 'DPoP' : 'Bearer')
    assert.equal(rig.records.at(-1)?.session, claimsOf(granted).sid)
  }
  for (const [name, change] of [
    ['certified', {}],
    ['proved', { certificate, proofHeaders: [] }],
  ] as const) {
    const request = await asking(rig.party('a'), { details: detailsOf(name), ...change })
    await refused(rig, request, { code: 'binding_missing' })
  }
})

test('a policy that asks for each key when it is shown the other gets neither', async () => {
  const certificate = await rig.certificate('a')
  const other = { dpop: 'mtls', mtls: 'dpop' } as const
  const asks: Broker['policies'] = {
    decide: (input) => ({ ...permitting(input), binding: other[input.binding] }),
  }
  const denies: Broker['policies'] = {
    decide: (input) =>
      input.binding === 'dpop'
        ? { ...permitting(input), binding: 'mtls' }
        : { ...permitting(input), effect: 'deny' },
  }
  for (const [policies, reason] of [
    [asks, { code: 'binding_missing' }],
    [denies, { code: 'policy_denied', policies: ['p'] }],
  ] as const) {
    const request = await asking(rig.party('a'), { certificate })
    await refused(rig, request, reason, { ...rig.broker, policies })
  }
})

test('a subject that is bound to the certificate is not used with the other key, whatever is preferred', async () => {
  const certificate = await rig.certificate('a')
  const bound = await asUser({ cnf: { 'x5t#S256': x5t(certificate) } }, { certificate })
  const request = await asking(rig.party('a'), bound)
  assert.deepEqual(claimsOf(await exchange(request, rig.broker)).cnf, {
    'x5t#S256': x5t(certificate),
  })
  const proved = { ...(await asking(rig.party('a'), bound)), details: detailsOf('proved') }
  await refused(rig, proved, { code: 'binding_missing' })
})

test('a proof over the mTLS endpoint is for that endpoint', async () => {
  const certificate = await rig.certificate('a')
  const request = await asking(rig.party('a'), { endpoint: MTLS_URL, certificate })
  await exchange(request, rig.broker)
})

test('a certificate spends nothing, a proof and an assertion of a key once each', async () => {
  const spent: string[] = []
  const ledger: Broker['ledger'] = {
    spend: (spendId, ...times) => {
      spent.push(spendId.slice(0, 2))
      return rig.broker.ledger.spend(spendId, ...times)
    },
  }
  const broker = { ...rig.broker, ledger }
  const certificate = await rig.certificate('a')
  const plain = { certificate, proofHeaders: [] }
  await exchange(await asking(rig.party('a'), plain), broker)
  assert.deepEqual(spent, [])
  const keyed = await asking(rig.party('a'), { subject: undefined, client: keyClient('a') })
  await exchange(keyed, broker)
  assert.deepEqual(spent, ['p:', 'a:'])
  const again = { ...keyed, proofHeaders: [proof(rig.party('a'))] }
  await refused(
    rig,
    again,
    { code: 'client_rejected', detail: 'the assertion was used before' },
    broker,
  )
})

test('an assertion whose use a store may have forgotten is refused as what it is', async () => {
  const ledger: Broker['ledger'] = {
    spend: async (spendId, ...times) =>
      spendId.startsWith('a:')
        ? refuse({ code: 'token_before_epoch' })
        : rig.broker.ledger.spend(spendId, ...times),
  }
  const keyed = await asking(rig.party('a'), { subject: undefined, client: keyClient('a') })
  const detail = 'the store may have forgotten that the assertion was used; send iat in it'
  await refused(rig, keyed, { code: 'client_rejected', detail }, { ...rig.broker, ledger })
})

test('a second key of one SVID is noticed, whichever way the SVID came and whichever kind the keys are', async () => {
  const shown = async (change: Change) => {
    const before = rig.records.length
    await exchange(await asking(rig.party('k'), change), rig.broker)
    return rig.records.slice(before).map(({ outcome, reason }) => reason ?? outcome)
  }
  const text = await rig.party('k').svid(299)
  const certificate = await rig.certificate('k')
  const second = ['identity_second_key', 'issued']
  assert.deepEqual(await shown({ subject: token(text) }), ['issued'])
  const other = { proofHeaders: [], certificate }
  assert.deepEqual(await shown({ subject: token(text), ...other }), second)
  assert.deepEqual(await shown({ subject: token(text), ...other }), ['issued'])
  const assertion = { method: 'spiffe_jwt', assertion: text, clientId: undefined } as const
  const third = [proof(rig.party('k2'))]
  assert.deepEqual(
    await shown({ subject: undefined, client: assertion, proofHeaders: third }),
    second,
  )
  const fourth = [proof(rig.party('k3'))]
  const user = { subject: token(rig.user()), actor: token(text), proofHeaders: fourth }
  assert.deepEqual(await shown(user), second)
})

test('a token ends no later than the first of its proofs', async () => {
  const soon = seconds() + 20
  const cases: readonly (readonly [string, () => Promise<Change>, number])[] = [
    ['the subject', async () => ({ subject: token(await rig.party('a').svid(20)) }), 20],
    ['the user', () => asUser({ exp: soon }), 20],
    ['the actor', async () => asUser({}, { actor: token(await rig.party('a').svid(20)) }), 20],
    ['the actor’s other token', async () => ({ actor: token(await rig.party('a').svid(20)) }), 20],
    [
      'the client’s assertion',
      async () => ({
        client: { ...(await jwtClient('a')), assertion: await rig.party('a').svid(20) },
      }),
      20,
    ],
    ['the certificate', async () => ({ certificate: await rig.certificate('a', 20) }), 20],
    ['nobody', () => asUser(), 60],
  ]
  for (const [what, change, most] of cases) {
    const granted = await exchange(await asking(rig.party('a'), await change()), rig.broker)
    assert.ok(granted.expiresInSeconds <= most && granted.expiresInSeconds >= most - 5, what)
  }
})

test('what is remembered is proved without waiting', async () => {
  const request = await asking(rig.party('a'))
  await exchange(request, rig.broker)
  const { prove } = await import('../../src/exchange/prove.ts')
  const again = { ...request, proofHeaders: [proof(rig.party('a'))] }
  assert.ok(!(prove({ request: again }, rig.broker) instanceof Promise))
})

test('a broker that has no delegation refuses such tokens, and issues none', async () => {
  const { delegation: _none, ...without } = rig.broker
  const handed = await exchange(await handingOn(rig.party('a'), rig.party('b')), rig.broker)
  const request = await asking(rig.party('b'), {
    subject: token(handed.token),
    actor: await svid('b'),
  })
  await refused(rig, request, { code: 'identity_invalid', check: 'typ' }, without)
  const asked = await handingOn(rig.party('a'), rig.party('b'))
  await refused(
    rig,
    asked,
    { code: 'request_malformed', detail: 'delegation tokens are not issued' },
    without,
  )
  assert.equal(ISSUER, without.issuer)
})
