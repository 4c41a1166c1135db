// What each kind of revocation stops at the exchange, and that what looks like it goes on.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Broker, ExchangeRequest } from '../../src/exchange/broker.ts'
import { exchange } from '../../src/exchange/exchange.ts'
import { refuse } from '../../src/refusal.ts'
import { RevokedSet } from '../../src/revocation/revoked-set.ts'
import { parseTarget, type Target } from '../../src/revocation/target.ts'
import { subjectOf } from '../../src/verifier/subject.ts'
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
  seconds,
  startRig,
  under,
  x5t,
} from './rig.ts'

let rig: Rig
before(async () => {
  rig = await startRig()
})
after(() => rig?.close())

const ALICE = 'user:corp:alice'
const party = (name: string): Party => rig.party(name)
const jkt = (name: string): string => party(name).key.jkt

/** The broker, when this alone is revoked. */
function stopping(target: Target): Broker {
  const set = new RevokedSet()
  set.add({ id: 'r', target: parseTarget({ ...target }), at: 0, reason: '', by: '' })
  const revocations: Broker['revocations'] = {
    check(subject, now) {
      const found = set.find(subject, now)
      if (found !== undefined) refuse({ code: 'revoked', target: found.target.kind })
    },
  }
  return { ...rig.broker, revocations }
}

type Ask = () => Promise<ExchangeRequest>
const forItself: Ask = () =>
  asking(party('b'), { details: detailsOf('transfer', {}, { task: 'invoice-1' }) })
const session: Ask = () => asking(party('b'), { details: undefined })
const forAlice: Ask = async () =>
  asking(party('b'), {
    subject: { token: rig.user(), tokenType: JWT },
    actor: { token: await party('b').svid(), tokenType: JWT },
  })
const runner: Ask = () =>
  asking(party('b'), { subject: { token: rig.runner(), tokenType: JWT }, details: undefined })
const withTask: Ask = () =>
  handingOn(party('b'), party('c'), { details: ceiling({ task: 'invoice-1' }) })
/** As `b`, to whom `a` has handed on the task. */
async function handed(): Promise<string> {
  const details = ceiling({ task: 'invoice-1' })
  return (await exchange(await handingOn(party('a'), party('b'), { details }), rig.broker)).token
}
const underA: Ask = async () => asking(party('b'), await under(party('b'), await handed()))
let made: Awaited<ReturnType<Rig['certificate']>> | undefined
async function certified() {
  made ??= await rig.certificate('b')
  return made
}
const bothKeys: Ask = async () => asking(party('b'), { certificate: await certified() })

type Row = readonly [
  what: string,
  ask: Ask,
  hit: () => Target | Promise<Target>,
  missed: () => Target | Promise<Target>,
]
const rows: readonly Row[] = [
  [
    'an agent, for itself',
    forItself,
    () => ({ kind: 'agent', value: id('b') }),
    () => ({ kind: 'agent', value: id('b-c') }),
  ],
  [
    'a path above an agent',
    forItself,
    () => ({ kind: 'agent', value: 'spiffe://corp.test/agents', beneath: true }),
    () => ({ kind: 'agent', value: 'spiffe://corp.test/agent', beneath: true }),
  ],
  [
    'an agent while it acts for a user',
    forAlice,
    () => ({ kind: 'agent', value: id('b'), principal: ALICE }),
    () => ({ kind: 'agent', value: id('b'), principal: `${ALICE}2` }),
  ],
  [
    'an agent while it acts for itself, its own principal',
    forItself,
    () => ({ kind: 'agent', value: id('b'), principal: id('b') }),
    () => ({ kind: 'agent', value: id('b'), principal: ALICE }),
  ],
  [
    'an agent before the one that asks',
    underA,
    () => ({ kind: 'agent', value: id('a') }),
    () => ({ kind: 'agent', value: `${id('a')}a` }),
  ],
  [
    'a principal',
    forAlice,
    () => ({ kind: 'principal', value: ALICE }),
    () => ({ kind: 'principal', value: 'user:corp:alic' }),
  ],
  [
    'a task',
    forItself,
    () => ({ kind: 'task', value: 'invoice-1' }),
    () => ({ kind: 'task', value: 'invoice-10' }),
  ],
  [
    'a task that would be handed on',
    withTask,
    () => ({ kind: 'task', value: 'invoice-1' }),
    () => ({ kind: 'task', value: 'invoice' }),
  ],
  [
    'a task that was handed on, whatever the next agent calls it',
    underA,
    () => ({ kind: 'task', value: 'invoice-1' }),
    () => ({ kind: 'task', value: 'Invoice-1' }),
  ],
  [
    'a key',
    session,
    () => ({ kind: 'key', value: jkt('b') }),
    () => ({ kind: 'key', value: `x5t#S256:${jkt('b')}` }),
  ],
  [
    'a certificate beside a key that would hold the token',
    bothKeys,
    async () => ({ kind: 'key', value: `x5t#S256:${x5t(await certified())}` }),
    async () => ({ kind: 'key', value: x5t(await certified()) }),
  ],
  [
    'the key of the agent that handed the work on',
    underA,
    () => ({ kind: 'key', value: jkt('a') }),
    () => ({ kind: 'key', value: jkt('c') }),
  ],
  [
    'a server',
    session,
    () => ({ kind: 'server', value: BANK }),
    () => ({ kind: 'server', value: NOTES }),
  ],
  [
    'a trust domain',
    session,
    () => ({ kind: 'issuer', value: 'spiffe://corp.test' }),
    () => ({ kind: 'issuer', value: 'spiffe://corp.tes' }),
  ],
  [
    'an issuer of workloads',
    runner,
    () => ({ kind: 'issuer', value: 'oidc:ci' }),
    () => ({ kind: 'issuer', value: 'user:ci' }),
  ],
  [
    'an issuer of people',
    forAlice,
    () => ({ kind: 'issuer', value: 'user:corp' }),
    () => ({ kind: 'issuer', value: 'user:cor' }),
  ],
  [
    'what was issued before a time to come',
    session,
    () => ({ kind: 'before', value: String(seconds() + 60) }),
    () => ({ kind: 'before', value: String(seconds() - 60) }),
  ],
]

describe('what is stopped gets no token, and what looks like it does', () => {
  for (const [what, ask, hit, missed] of rows) {
    it(what, async () => {
      const target = await hit()
      const expected = { code: 'revoked', target: target.kind } as const
      await refused(rig, await ask(), expected, stopping(target))
      await exchange(await ask(), stopping(await missed()))
    })
  }
})

it('a delegation from before a time leads to nothing after it', async () => {
  const token = await handed()
  const { iat } = delegationOf(token)
  const later = async () => ({
    ...(await asking(party('b'), await under(party('b'), token))),
    now: Date.now() / 1000 + 3,
  })
  const expected = { code: 'revoked', target: 'before' } as const
  await refused(rig, await later(), expected, stopping({ kind: 'before', value: String(iat + 1) }))
  await exchange(await later(), stopping({ kind: 'before', value: String(iat) }))
})

it('the one who makes a new key stays stopped, and the one whose key was stopped does not', async () => {
  const before = await asking(party('b'))
  const key = rig.party('b').key
  const fresh = { ...party('b'), key: party(`new-${Math.random()}`).key }
  assert.notEqual(fresh.key.jkt, key.jkt)
  const agent = stopping({ kind: 'agent', value: id('b'), principal: id('b') })
  await refused(rig, before, { code: 'revoked', target: 'agent' }, agent)
  await refused(rig, await asking(fresh), { code: 'revoked', target: 'agent' }, agent)
  const onlyKey = stopping({ kind: 'key', value: key.jkt })
  await refused(rig, await asking(party('b')), { code: 'revoked', target: 'key' }, onlyKey)
  await exchange(await asking(fresh), onlyKey)
})

it('whatever stops a token at a verifier is looked for before it is issued', async () => {
  const claims = claimsOf(await exchange(await underA(), rig.broker))
  const { jti: _, issuedAt, links = [], ...names } = subjectOf({ claims })
  assert.equal(links.length, 3)
  assert.ok(issuedAt !== undefined && Object.values(names).every((each) => each !== undefined))
})
