// Stopping anything that a chain of agents hangs on stops the whole rest of it, and nothing else.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { exchange } from '../../src/exchange/exchange.ts'
import { Refusal } from '../../src/refusal.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import type { Target } from '../../src/revocation/target.ts'
import { subjectOf } from '../../src/verifier/subject.ts'
import {
  asking,
  ceiling,
  claimsOf,
  delegationOf,
  handingOn,
  JWT,
  type Rig,
  seconds,
  startRig,
  under,
} from './rig.ts'

let rig: Rig
before(async () => {
  rig = await startRig()
})
after(() => rig?.close())

let round = 0

/** Alice lets `a` act, who lets `b` go on, who lets `c`: everyone new in each round. */
async function threeInARow() {
  round += 1
  const [a, b, c] = ['a', 'b', 'c'].map((name) => rig.party(`${name}${round}`)) as [
    Party,
    Party,
    Party,
  ]
  const user = rig.user({ sub: `alice-${round}` })
  const first = await exchange(
    await handingOn(a, b, {
      details: ceiling({ task: `task-${round}` }),
      change: {
        subject: { token: user, tokenType: JWT },
        actor: { token: await a.svid(), tokenType: JWT },
      },
    }),
    rig.broker,
  )
  const second = await exchange(await handingOn(b, c, { parent: first.token }), rig.broker)
  const ask = async () => exchange(await asking(c, await under(c, second.token)), rig.broker)
  return { a, b, c, first, second, ask, token: claimsOf(await ask()) }
}
type Party = ReturnType<Rig['party']>

type Row = Awaited<ReturnType<typeof threeInARow>>
const sid = (token: string) => delegationOf(token).sid
const STOPPED: readonly (readonly [string, (row: Row) => Target])[] = [
  ['the principal', ({ token }) => ({ kind: 'principal', value: token.sub })],
  ['the first agent', ({ a }) => ({ kind: 'agent', value: a.id })],
  ['the agent in the middle', ({ b }) => ({ kind: 'agent', value: b.id })],
  ['the last agent', ({ c }) => ({ kind: 'agent', value: c.id })],
  ['the first agent’s session', ({ first }) => ({ kind: 'session', value: sid(first.token) })],
  ['the session in the middle', ({ second }) => ({ kind: 'session', value: sid(second.token) })],
  ['the last session', ({ token }) => ({ kind: 'session', value: token.sid })],
  ['the first delegation', ({ first }) => ({ kind: 'jti', value: first.jti })],
  ['the second delegation', ({ second }) => ({ kind: 'jti', value: second.jti })],
]

for (const [what, targetOf] of STOPPED) {
  test(`${what}: nothing new is issued, and what was issued is stopped`, async () => {
    const [row, other] = [await threeInARow(), await threeInARow()]
    const target = targetOf(row)
    rig.revocations.check(subjectOf({ claims: row.token }), seconds())
    await rig.revoke(target)
    const stopped = (error: unknown) => {
      assert.ok(error instanceof Refusal)
      assert.deepEqual(error.reason, { code: 'revoked', target: target.kind })
      return true
    }
    await assert.rejects(row.ask(), stopped)
    assert.throws(() => rig.revocations.check(subjectOf({ claims: row.token }), seconds()), stopped)
    assert.equal(rig.records.at(-1)?.reason, 'revoked')
    await other.ask()
    rig.revocations.check(subjectOf({ claims: other.token }), seconds())
  })
}

test('either session of a caller with two keys being stopped, it gets no token with the other', async () => {
  const party = rig.party('two-keys')
  const certificate = await rig.certificate('two-keys')
  const plain = { certificate, proofHeaders: [] }
  const { sid: certified } = claimsOf(await exchange(await asking(party, plain), rig.broker))
  await rig.revoke({ kind: 'session', value: certified })
  const both = await asking(party, { certificate })
  await assert.rejects(exchange(both, rig.broker), /revoked/)
  await exchange(await asking(party), rig.broker)
  assert.ok(rig.broker.revocations instanceof Revocations)
})
