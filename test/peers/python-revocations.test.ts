// The feed, as a verifier in Python hears it: every kind of target, and what ends a revocation.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { revocation } from '../../src/admin/schemas.ts'
import { clientOnSocket } from '../../src/cli/admin-client.ts'
import type { Target } from '../../src/revocation/target.ts'
import type { TokenClaims } from '../../src/token/claims.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import { claimsOf } from '../server/fixture.ts'
import { whyNoPython } from '../support/python.ts'
import { ask, check, real, startPython, stopPython, tokenFor } from './python-verifier.ts'
import { BOT } from './real.ts'

suite('a verifier in Python hears what is revoked', { skip: whyNoPython() }, () => {
  before(startPython)
  after(stopPython)

  /** Each: what is stopped, by the claims of a token that it hits. */
  const targets: [string, (claims: TokenClaims) => Target][] = [
    ['its session', ({ sid }) => ({ kind: 'session', value: sid })],
    ['its agent', () => ({ kind: 'agent', value: BOT })],
    [
      'all beneath a path of it',
      () => ({ kind: 'agent', value: 'spiffe://corp.test/agents', beneath: true }),
    ],
    [
      'its agent when it acts for its principal',
      ({ sub }) => ({ kind: 'agent', value: BOT, principal: sub }),
    ],
    ['its principal', ({ sub }) => ({ kind: 'principal', value: sub })],
    ['its task', ({ txn }) => ({ kind: 'task', value: String(txn) })],
    ['its key', ({ cnf }) => ({ kind: 'key', value: 'jkt' in cnf ? cnf.jkt : '' })],
    ['its server', ({ aud }) => ({ kind: 'server', value: aud })],
    ['its trust domain', () => ({ kind: 'issuer', value: 'spiffe://corp.test' })],
  ]
  for (const [title, targetOf] of targets) {
    test(`a token is refused while ${title} is revoked, and good again when that is undone`, async () => {
      const key = generateSenderKey()
      const token = await tokenFor(key)
      const target = targetOf(claimsOf(token) as unknown as TokenClaims)
      const { id } = await real.running.revoke({ target, reason: 'test', by: 'test' })
      await ask('follow')
      assert.deepEqual(await check(key, token), { ok: false, why: 'revoked' })
      const admin = clientOnSocket(String(real.running.controlPath))
      await admin.post(`/v1/revocations/${id}/undo`, revocation, { reason: 'test' })
      await ask('follow')
      assert.equal((await check(key, token)).ok, true)
    })
  }

  test('neighbours of what is revoked are not: a like name, another principal, an earlier time', async () => {
    const key = generateSenderKey()
    const token = await tokenFor(key)
    const { jti, iat } = claimsOf(token) as unknown as TokenClaims
    const others: Target[] = [
      { kind: 'agent', value: 'spiffe://corp.test/agents/bo', beneath: true },
      { kind: 'agent', value: BOT, principal: 'user:idp:alice' },
      { kind: 'issuer', value: 'spiffe://corp.tes' },
      { kind: 'before', value: String(iat) },
    ]
    for (const target of others) await real.running.revoke({ target, reason: 'test', by: 'test' })
    await ask('follow')
    const other = await tokenFor(key)
    assert.equal((await check(key, other)).ok, true)
    await real.running.revoke({ target: { kind: 'jti', value: jti }, reason: 'test', by: 'test' })
    await ask('follow')
    assert.deepEqual(await check(key, token), { ok: false, why: 'revoked' })
    // The last of all: everything issued by now is hit.
    const late = generateSenderKey()
    const last = await tokenFor(late)
    const value = String((claimsOf(last).iat as number) + 1)
    await real.running.revoke({ target: { kind: 'before', value }, reason: 'test', by: 'test' })
    await ask('follow')
    assert.deepEqual(await check(late, last), { ok: false, why: 'revoked' })
  })
})
