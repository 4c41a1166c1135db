/** What each kind of revocation stops at an MCP server, and that what looks like it goes on. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import type { Target } from '../../src/revocation/target.ts'
import { createVerifier } from '../../src/verifier/index.ts'
import { until } from '../support/redis.ts'
import {
  AGENT,
  certified,
  claimsFor,
  clock,
  mint,
  options,
  RESOURCE,
  request,
  type Sent,
  sender,
} from './rig.ts'

const USER = 'user:corp:alice'
const PLANNER = 'spiffe://corp.example/agents/planner'
const KEY = 'l'.repeat(43)
const iat = Math.floor(clock.now())
/** A session token: the same one can be shown again and again, each time with a new proof. */
const token = {
  sub: USER,
  act: { sub: AGENT, act: { sub: PLANNER } },
  jti: 'jti-1',
  sid: 'sid-1',
  txn: 'invoice-1',
  via: ['sid-0', KEY, 'jti-0'],
  iat,
  exp: iat + 120,
} as const
type Claims = Parameters<typeof claimsFor>[1]

async function startVerifier() {
  const rig = await options({ certificates: true })
  const verifier = createVerifier(rig.options)
  await verifier.ready()
  const check = (claims: Claims, sent: Partial<Sent>) =>
    verifier.check(request({ token: mint(claimsFor('session', { ...token, ...claims })), ...sent }))
  return {
    check,
    async outcome(claims: Claims = {}, sent: Partial<Sent> = {}): Promise<string> {
      const message = { jsonrpc: '2.0', id: 1, method: 'ping' }
      const answer = await check(claims, { message, ...sent })
      if (answer.allowed) return 'allowed'
      const { reason, evidence } = rig.records.at(-1) ?? assert.fail()
      return `${reason} ${evidence?.target}`
    },
    async revoke(target: Target) {
      await rig.publisher.revoke({ target, reason: 'test', by: 'test' })
      // What came after it is in force, so it is.
      const marker = `marker-${Math.random()}`
      const behind = { kind: 'jti', value: marker } as const
      await rig.publisher.revoke({ target: behind, reason: 'test', by: 'test' })
      await until(async () => (await this.outcome({ jti: marker, iat: iat + 2 })) !== 'allowed')
    },
    async close() {
      await verifier.close()
      await rig.publisher.close()
    },
  }
}

/** The last is what looks like it: another target, or a token of other claims. */
const rows: readonly [target: Target, lookAlike: Target | { claims: Claims }][] = [
  [{ kind: 'jti', value: 'jti-1' }, { claims: { jti: 'jti-10' } }],
  [
    { kind: 'jti', value: 'jti-0' },
    { kind: 'task', value: 'jti-0' },
  ],
  [{ kind: 'session', value: 'sid-1' }, { claims: { sid: 'sid-10' } }],
  [
    { kind: 'session', value: 'sid-0' },
    { kind: 'session', value: 'sid-' },
  ],
  [
    { kind: 'agent', value: AGENT },
    { kind: 'agent', value: `${AGENT}s` },
  ],
  [
    { kind: 'agent', value: PLANNER },
    { claims: { act: { sub: AGENT, act: { sub: `${PLANNER}/7` } } } },
  ],
  [
    { kind: 'agent', value: 'spiffe://corp.example/agents', beneath: true },
    { kind: 'agent', value: 'spiffe://corp.example/agent', beneath: true },
  ],
  [
    { kind: 'agent', value: PLANNER, principal: USER },
    { kind: 'agent', value: PLANNER, principal: AGENT },
  ],
  [{ kind: 'principal', value: USER }, { claims: { sub: `${USER}2` } }],
  [{ kind: 'task', value: 'invoice-1' }, { claims: { txn: 'invoice-10' } }],
  [
    { kind: 'key', value: sender.jkt },
    { kind: 'key', value: `x5t#S256:${sender.jkt}` },
  ],
  [{ kind: 'key', value: KEY }, { claims: { via: ['sid-0', 'jti-0'] } }],
  [
    { kind: 'server', value: RESOURCE },
    { kind: 'server', value: `${RESOURCE}/` },
  ],
  [
    { kind: 'issuer', value: 'spiffe://corp.example' },
    { kind: 'issuer', value: 'spiffe://corp.example.evil' },
  ],
  [{ kind: 'issuer', value: 'user:corp' }, { claims: { sub: 'user:corp-2:alice' } }],
  [{ kind: 'before', value: String(iat + 1) }, { claims: { iat: iat + 1 } }],
]

describe('what is stopped is refused at the server, and its streams end; what looks like it goes on', () => {
  for (const [target, other] of rows) {
    it(`${JSON.stringify(target)}, not ${JSON.stringify(other)}`, async (t) => {
      const server = await startVerifier()
      t.after(() => server.close())
      if ('kind' in other) await server.revoke(other)
      assert.equal(await server.outcome(), 'allowed')
      const stream = await server.check({}, { method: 'GET' })
      assert.ok(stream.allowed && stream.closing !== undefined)
      const closed = once(stream.closing, 'abort')
      await server.revoke(target)
      assert.equal(await server.outcome(), `revoked ${target.kind}`)
      await closed
      if ('claims' in other) assert.equal(await server.outcome(other.claims), 'allowed')
    })
  }

  it('the key of a certificate, not the same thumbprint of a key', async (t) => {
    const server = await startVerifier()
    t.after(() => server.close())
    const { certificate, cnf } = await certified()
    const thumbprint = cnf['x5t#S256']
    const shown = { certificate, scheme: 'Bearer', headers: { dpop: undefined } }
    await server.revoke({ kind: 'key', value: thumbprint })
    assert.equal(await server.outcome({ cnf }, shown), 'allowed')
    await server.revoke({ kind: 'key', value: `x5t#S256:${thumbprint}` })
    assert.equal(await server.outcome({ cnf }, shown), 'revoked key')
  })
})
