/** Tokens on somebody's behalf: what stops them, who is told for whom they run, and what none of them is. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { JsonObject } from '../../src/lib/json.ts'
import { signJws } from '../../src/token/jws.ts'
import { createVerifier, type Verifier } from '../../src/verifier/index.ts'
import { AGENT, brokerKey, callMessage, claimsFor, clock, mint, options, request } from './rig.ts'

const USER = 'user:corp:alice'
const PLANNER = 'spiffe://corp.example/agents/planner'
const act = {
  sub: AGENT,
  iss: 'spiffe://corp.example',
  sub_profile: 'ai_agent',
  act: { sub: PLANNER },
}

let rig: Awaited<ReturnType<typeof options>>
let verifier: Verifier
before(async () => {
  rig = await options()
  verifier = createVerifier(rig.options)
  await verifier.ready()
})
after(async () => {
  await verifier.close()
  await rig.publisher.close()
})

const check = (claims: Parameters<typeof claimsFor>[1]) =>
  verifier.check(request({ token: mint(claimsFor({}, claims)), message: callMessage() }))

async function refusal(claims: Parameters<typeof claimsFor>[1]): Promise<unknown[]> {
  assert.equal((await check(claims)).allowed, false)
  const { reason, evidence } = rig.records.at(-1) ?? assert.fail()
  return [reason, ...Object.values(evidence ?? {})]
}

test('a tool is told for whom it runs and who acts, the caller first', async () => {
  const answer = await check({ sub: USER, act })
  assert.ok(answer.allowed)
  const { clientId, extra } = answer.authInfo
  const { claims, ...rest } = extra
  assert.equal(clientId, AGENT)
  assert.deepEqual(rest, { sub: USER, client_id: AGENT, actors: [AGENT, PLANNER] })
  assert.equal(claims.act?.sub_profile, 'ai_agent')
  assert.deepEqual(rig.records.at(-1)?.actors, [AGENT, PLANNER])
  assert.equal(rig.records.at(-1)?.principal, USER)
})

test('a workload that acts for itself has no actors', async () => {
  const answer = await check({})
  assert.ok(answer.allowed)
  assert.deepEqual(answer.authInfo.extra.actors, [])
  assert.equal(answer.authInfo.extra.sub, AGENT)
})

const links: [string, 'jti' | 'session' | 'agent', string][] = [
  ['the delegation token it hangs on', 'jti', 'jti-of-the-delegation'],
  ['an earlier session', 'session', 'sid-of-the-planner'],
  ['an agent that handed the work on', 'agent', `${PLANNER}/gone`],
]
for (const [title, kind, value] of links) {
  test(`revoking ${title} stops a token that nobody revoked itself`, async () => {
    // What is revoked stays so, for the other cases too.
    const claims =
      kind === 'agent'
        ? { sub: USER, act: { sub: AGENT, act: { sub: value } } }
        : { sub: USER, act, via: ['another', value] }
    assert.equal((await check(claims)).allowed, true)
    const target = { kind, value }
    await rig.publisher.revoke({ target, until: clock.now() + 60, reason: 'test', by: 'test' })
    const until = clock.now() + 5
    while ((await check(claims)).allowed && clock.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const [reason] = await refusal(claims)
    assert.equal(reason, 'revoked')
    assert.equal((await check({ sub: USER, act, via: ['another'] })).allowed, true)
  })
}

const nested = (depth: number): JsonObject =>
  depth === 1 ? { sub: AGENT } : { sub: AGENT, act: nested(depth - 1) }
const strange: [string, Parameters<typeof claimsFor>[1]][] = [
  ['nine actors', { act: nested(9) }],
  ['an actor without a name', { act: { iss: 'x' } }],
  ['an actor that is text', { act: AGENT }],
  ['a list of actors', { act: [act] }],
  ['an inner actor that is none', { act: { sub: AGENT, act: null } }],
  ['an issuer of an actor that is no text', { act: { sub: AGENT, iss: 7 } }],
  ['links that are text', { via: 'jti' }],
  ['a link that is no text', { via: [7] }],
  ['an empty link', { via: [''] }],
  ['more links than hand-overs', { via: Array.from({ length: 25 }, (_, n) => `l${n}`) }],
]
for (const [what, claims] of strange) {
  test(`a token with ${what} is refused`, async () => {
    assert.deepEqual(await refusal(claims), ['token_invalid', 'claims'])
  })
}

test('eight actors are not too many', async () => {
  const act = nested(8) as unknown as { sub: string }
  const answer = await check({ sub: `${USER}-8`, client_id: `${AGENT}/8`, act })
  assert.equal(answer.allowed, true)
})

test('a delegation token opens nothing at a server, whatever it says', async () => {
  const claims = claimsFor({}, { sub: `${USER}-d` }) as unknown as JsonObject
  for (const typ of ['writ-delegation+jwt', 'jwt', 'JWT', 'application/at+jwt']) {
    const token = signJws({ typ }, claims, brokerKey)
    const answer = await verifier.check(request({ token, message: callMessage() }))
    assert.equal(answer.allowed, false, typ)
    assert.deepEqual(rig.records.at(-1)?.evidence, { check: 'typ' })
  }
  const token = signJws({ typ: 'at+jwt' }, claims, brokerKey)
  assert.equal((await verifier.check(request({ token, message: callMessage() }))).allowed, true)
})
