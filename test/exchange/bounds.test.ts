// What bounds a token, whatever is configured, asked for or said by an issuer.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Broker, ExchangeRequest } from '../../src/exchange/broker.ts'
import { exchange } from '../../src/exchange/exchange.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { DecisionInput } from '../../src/policy/engine.ts'
import { type Reason, refuse } from '../../src/refusal.ts'
import { Nonces } from '../../src/token/nonce.ts'
import { makeProof } from '../../src/token/proof.ts'
import {
  asking,
  BANK,
  ceiling,
  claimsOf,
  delegationOf,
  detailsOf,
  handingOn,
  id,
  JWT,
  NOTES,
  type Party,
  type Rig,
  refused,
  startRig,
  TOKEN_URL,
  under,
  x5t,
} from './rig.ts'

let rig: Rig
let a: Party
let b: Party
before(async () => {
  rig = await startRig()
  a = rig.party('a')
  b = rig.party('b')
})
after(() => rig?.close())

const configured = (delegation: Partial<Broker['delegation']>): Broker => ({
  ...rig.broker,
  delegation: { ...rig.broker.delegation!, ...delegation },
})

const LIFETIMES: readonly (readonly [configuredSeconds: number, seconds: number])[] = [
  [100, 100],
  [3600, 3600],
  [7200, 3600],
]
for (const [lifetimeSeconds, seconds] of LIFETIMES) {
  test(`a delegation that may live for ${lifetimeSeconds} s lives for ${seconds} s`, async () => {
    const subject = { token: await a.svid(10_000), tokenType: JWT }
    const request = await handingOn(a, b, { change: { subject } })
    const { token } = await exchange(request, configured({ lifetimeSeconds }))
    const { iat, exp } = delegationOf(token)
    assert.equal(exp - iat, seconds)
  })
}

test('a token ends before the proof that it came of does, also within a second', async () => {
  const now = Math.floor(Date.now() / 1000)
  const claims = claimsOf(await exchange(await askingAs(rig.user({ exp: now + 30.5 })), rig.broker))
  assert.equal(claims.exp, now + 30)
})

test('a token of which nothing would be left is none', async () => {
  const now = Math.floor(Date.now() / 1000) + 0.5
  const request = { ...(await askingAs(rig.user({ exp: now + 0.4 }))), now }
  await refused(rig, request, { code: 'identity_invalid', check: 'expiry' })
  const { iat } = claimsOf(await exchange({ ...(await askingAs(rig.user())), now }, rig.broker))
  assert.equal(iat, Math.floor(now), 'nor is one issued in a time to come')
})

test('policies are asked with who, for whom, when and from where', async () => {
  const seen: unknown[] = []
  const decide = (input: DecisionInput) => {
    const { workload, principal, user, actors, time, address, server, binding } = input
    seen.push([workload.id, principal, user?.id, actors, time, address, server, binding])
    return rig.broker.policies.decide(input)
  }
  const request = await askingAs(rig.user())
  await exchange(request, { ...rig.broker, policies: { decide } })
  const alice = 'user:corp:alice'
  assert.deepEqual(seen, [[a.id, alice, alice, [a.id], request.now, '192.0.2.1', BANK, 'dpop']])
})

test('what policies say of the key that they ask for is what counts', async () => {
  const decide = (input: DecisionInput) => ({
    ...rig.broker.policies.decide(input),
    ...(input.binding === 'dpop' ? { binding: 'mtls' as const } : { lifetimeSeconds: 20 }),
  })
  const request = await asking(a, { certificate: await rig.certificate('a') })
  const granted = await exchange(request, { ...rig.broker, policies: { decide } })
  assert.deepEqual([granted.tokenType, granted.expiresInSeconds], ['Bearer', 20])
})

test('of what proves a workload, whoever can copy it is watched: no certificate, nothing good once', async () => {
  const certificate = await rig.certificate('a')
  const watched = async (change: Partial<ExchangeRequest>) => {
    const seen: string[] = []
    const senderKeys: Broker['senderKeys'] = {
      async check(workload) {
        seen.push(workload.id)
        return 'known'
      },
    }
    const request = await asking(a, { subject: undefined, ...change })
    await exchange(request, { ...rig.broker, senderKeys })
    return seen
  }
  const x509 = { method: 'spiffe_x509', clientId: a.id } as const
  const key = { method: 'private_key_jwt', assertion: rig.assertion('a'), clientId: 'a' } as const
  const jwt = { method: 'spiffe_jwt', assertion: await a.svid(), clientId: undefined } as const
  assert.deepEqual(await watched({ client: x509, certificate }), [])
  assert.deepEqual(await watched({ client: key }), [])
  assert.deepEqual(await watched({ client: jwt }), [a.id])
})

const SPENDS: readonly (readonly [what: string, store: Reason | undefined, answer: Reason])[] = [
  [
    'cannot be asked',
    { code: 'ledger_unavailable', detail: 'a test' },
    { code: 'ledger_unavailable', detail: 'a test' },
  ],
  [
    'may have forgotten it',
    { code: 'token_before_epoch' },
    {
      code: 'client_rejected',
      detail: 'the store may have forgotten that the assertion was used; send iat in it',
    },
  ],
  ['has seen it', undefined, { code: 'client_rejected', detail: 'the assertion was used before' }],
]
for (const [what, store, answer] of SPENDS) {
  test(`an assertion of which the store ${what} proves nobody`, async () => {
    const asked: unknown[] = []
    const ledger: Broker['ledger'] = {
      async spend(spent, _until, earliest) {
        if (spent.startsWith('p:')) return true
        asked.push(typeof earliest)
        return store === undefined ? false : refuse(store)
      },
    }
    const assertion = rig.assertion('a')
    const client = { method: 'private_key_jwt', assertion, clientId: 'a' } as const
    const request = await asking(a, { subject: undefined, client })
    await refused(rig, request, answer, { ...rig.broker, ledger })
    assert.deepEqual(asked, ['number'], 'since when it may have been used')
  })
}

test('a key that is stopped proves nobody, also beside the one that the token is for', async () => {
  const certificate = await rig.certificate('c')
  const c = rig.party('c')
  const request = async () =>
    asking(c, {
      certificate,
      subject: { token: rig.user({ cnf: { jkt: c.key.jkt } }), tokenType: JWT },
      actor: { token: await c.svid(), tokenType: JWT },
    })
  assert.equal((await exchange(await request(), rig.broker)).tokenType, 'DPoP')
  await rig.revoke({ kind: 'key', value: `x5t#S256:${x5t(certificate)}` })
  await assert.rejects(exchange(await request(), rig.broker), { message: 'revoked' })
})

test('who says that a certificate proves them shows one', async () => {
  const client = { method: 'spiffe_x509', clientId: a.id } as const
  await refused(rig, await asking(a, { client }), { code: 'identity_missing' })
})

test('nothing is handed on that the next agent could not use', async () => {
  const request = () => handingOn(a, b)
  const depth = { code: 'delegation_refused', check: 'depth' } as const
  await refused(rig, await request(), depth, configured({ maxDepth: 1 }))
  await exchange(await request(), configured({ maxDepth: 2 }))
})

/** A user's token that names these as having acted, the last one first. */
const actedBy = (names: readonly string[]) => {
  const act = names.reduce<JsonObject | undefined>(
    (before, sub) => ({ sub, tenant: 'x', ...(before === undefined ? {} : { act: before }) }),
    undefined,
  )
  return rig.user({ act: act!, may_act: { sub: a.id } })
}
const askingAs = async (token: string) =>
  asking(a, {
    subject: { token, tokenType: JWT },
    actor: { token: await a.svid(), tokenType: JWT },
  })

test('more than eight actors are not in a row, however many are configured', async () => {
  const names = Array.from({ length: 8 }, (_, i) => `agent-${i}`)
  const broker = configured({ maxDepth: 20 })
  const depth = { code: 'delegation_refused', check: 'depth' } as const
  await refused(rig, await askingAs(actedBy(names)), depth, broker)
  await exchange(await askingAs(actedBy(names.slice(1))), broker)
})

test('of who acted before, a token says who they are and nothing else that an issuer says', async () => {
  const { act } = claimsOf(await exchange(await askingAs(actedBy(['x', 'y'])), rig.broker))
  assert.deepEqual(act?.act, { sub: 'y', act: { sub: 'x' } })
})

test('a record says no more of a server or of the next agent than a record has room for', async () => {
  const long = (start: string) => `${start}/${'x'.repeat(10_000)}`
  const cut = (start: string) => `${long(start).slice(0, 512)}…`
  const resource = long('https://mcp.test')
  await assert.rejects(exchange(await asking(a, { resource, details: undefined }), rig.broker))
  assert.equal(rig.records.at(-1)?.server, cut('https://mcp.test'))
  const delegateTo = { workload: long('spiffe://corp.test'), jkt: b.key.jkt }
  await assert.rejects(exchange(await handingOn(a, b, { change: { delegateTo } }), rig.broker))
  assert.equal(rig.records.at(-1)?.delegate, cut('spiffe://corp.test'))
})

test('where nonces are wanted, a proof without one gets no token, and one with it does', async () => {
  const nonces = new Nonces(Buffer.alloc(32, 7))
  const broker = { ...rig.broker, nonces }
  await refused(rig, await asking(a), { code: 'nonce_required', why: 'absent' }, broker)
  const now = Date.now() / 1000
  const about = { method: 'POST', url: TOKEN_URL, now, nonce: nonces.issue(now) }
  const proofHeaders = [makeProof(a.key, about)]
  assert.ok((await exchange(await asking(a, { proofHeaders }), broker)).token)
})

test('policies decide about the task that was delegated, whatever the next agent calls it', async () => {
  const seen: unknown[] = []
  const decide = (input: DecisionInput) => {
    seen.push(input.action?.task)
    return rig.broker.policies.decide(input)
  }
  const { token } = await exchange(
    await handingOn(a, b, { details: ceiling({ task: 'root' }) }),
    rig.broker,
  )
  const details = detailsOf('transfer', {}, { task: 'mine' })
  const request = await asking(b, { ...(await under(b, token)), details })
  await exchange(request, { ...rig.broker, policies: { decide } })
  assert.deepEqual(seen, ['root'])
})

const USES: readonly (readonly [method: string, decided: number, uses: number])[] = [
  ['tools/call', 1, 1],
  ['tools/call', 3, 3],
  ['tasks/get', 1, 20],
  ['tasks/get', 3, 3],
]
for (const [method, maxUses, uses] of USES) {
  test(`a token for ${method} is good ${uses} times where policies say ${maxUses}`, async () => {
    const element = { type: 'mcp_action', locations: [BANK], actions: [method] }
    const decide = (input: DecisionInput) => ({ ...rig.broker.policies.decide(input), maxUses })
    const request = await asking(a, { details: [{ ...element, identifier: 'transfer' }] })
    const granted = await exchange(request, { ...rig.broker, policies: { decide } })
    const [detail] = claimsOf(granted).authorization_details as [JsonObject]
    assert.equal(detail.max_uses, uses)
    assert.equal(claimsOf(granted).client_id, id('a'))
  })
}

type Said = Pick<ReturnType<Broker['policies']['decide']>, 'effect' | 'lifetimeSeconds'>
const permit = (lifetimeSeconds?: number): Said => ({ effect: 'permit', lifetimeSeconds })
const ask: Said = { effect: 'ask', lifetimeSeconds: undefined }
/** What the policies of two servers say, and what comes of it: seconds, or nothing without a person. */
const BOTH: readonly (readonly [bank: Said, notes: Said, seconds: number | undefined])[] = [
  [permit(), permit(50), 50],
  [permit(50), permit(), 50],
  [permit(70), permit(50), 50],
  [permit(50), permit(70), 50],
  [permit(), ask, undefined],
  [ask, permit(), undefined],
]
for (const [bank, notes, seconds] of BOTH) {
  const [first, second] = [bank, notes].map((each) => `${each.effect} ${each.lifetimeSeconds}`)
  test(`of what two servers’ policies say, ${first} and ${second}, the strictest counts`, async () => {
    const decide = (input: DecisionInput) => ({
      ...rig.broker.policies.decide(input),
      ...(input.server === BANK ? bank : notes),
      policies: [input.server === BANK ? 'of-bank' : 'of-notes', 'of-both'],
    })
    const broker = { ...rig.broker, policies: { decide } }
    const request = await handingOn(a, b, { details: ceiling({ locations: [BANK, NOTES] }) })
    const policies = ['of-bank', 'of-both', 'of-notes']
    if (seconds === undefined) {
      return refused(rig, request, { code: 'approval_required', policies }, broker)
    }
    assert.equal((await exchange(request, broker)).expiresInSeconds, seconds)
    assert.deepEqual(rig.records.at(-1)?.policies, policies)
  })
}
