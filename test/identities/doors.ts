// One agent at every door, with every proof it has: the same principal, the same answers, one stop for all.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import type { JsonObject } from '../../src/lib/json.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import { assertion } from '../server/fixture.ts'
import { type Ask, DELEGATION, delegation, type Fields, forms, send, target } from './ask.ts'
import { ALICE } from './issuers.ts'
import { assertGranted, visit } from './refuses.ts'
import { AGENT, AGENT_PATH, admin, PROXY, type World } from './world.ts'

export function declareDoors(world: World): void {
  const form = forms(world)
  const svid = () => world.corp.svid(AGENT_PATH)
  const key = generateSenderKey()
  const certificate = world.corp.certificate(AGENT_PATH)
  const der = new X509Certificate(certificate.cert).raw
  const clientCert = { 'client-cert': `:${der.toString('base64')}:` }

  /** How the token is bound: the key of a DPoP proof, or that of the certificate. */
  const bound = {
    dpop: { key },
    mtls: { key: null, by: certificate },
    both: { key, by: certificate },
    proxy: { key: null, headers: clientCert, from: PROXY },
  } as const
  type How = keyof typeof bound

  /** Who asks, in the words of each door. */
  const own: [string, How[], () => Fields][] = [
    ['token exchange', ['dpop', 'mtls', 'both', 'proxy'], () => form.exchange(svid())],
    ['jwt-bearer', ['dpop', 'mtls', 'both', 'proxy'], () => form.bearer(svid())],
    [
      'a JWT-SVID as client',
      ['dpop', 'mtls', 'both', 'proxy'],
      () => form.alone(form.spiffe(svid())),
    ],
    ['a registered key', ['dpop', 'mtls', 'both', 'proxy'], () => form.alone(form.keyed())],
    ['a certificate alone', ['mtls', 'both', 'proxy'], () => form.alone({ client_id: AGENT })],
    [
      'token exchange with a second proof',
      ['dpop', 'both'],
      () => form.exchange(svid(), form.spiffe(svid())),
    ],
  ]
  const forAlice: typeof own = [
    [
      'an actor token',
      ['dpop', 'mtls', 'both'],
      () => form.exchange(world.idToken(), form.actor()),
    ],
    [
      'a JWT-SVID as client',
      ['dpop', 'mtls', 'both'],
      () => form.exchange(world.accessToken(), form.spiffe(svid())),
    ],
    ['a registered key', ['dpop', 'mtls'], () => form.exchange(world.idToken(), form.keyed())],
    [
      'a certificate alone',
      ['mtls', 'both', 'proxy'],
      () => form.exchange(world.idToken(), { client_id: AGENT }),
    ],
    [
      'an ID-JAG as assertion, and a JWT-SVID as client',
      ['dpop', 'mtls', 'both'],
      () => form.bearer(world.idJag(AGENT), form.spiffe(svid())),
    ],
    [
      'an ID-JAG as assertion, and the certificate',
      ['mtls', 'both', 'proxy'],
      () => form.bearer(world.idJag(AGENT)),
    ],
  ]

  /** Everything that policies, sessions and audit know a caller by. */
  function whoIs(claims: JsonObject, record: JsonObject) {
    const { sub, client_id, act, sid, aud, scope, cnf } = claims
    const { workload, principal, actors, session, policies, decision } = record
    const audited = { workload, principal, actors, session, policies, decision }
    return { sub, client_id, act, sid, aud, scope, cnf, audited }
  }

  const everyWay = (list: typeof own) =>
    list.flatMap(([title, hows, make]) => hows.map((how) => ({ title, how, make })))
  const kindOf = (how: How) => (how === 'mtls' || how === 'proxy' ? 'mtls' : 'dpop')

  for (const [principal, list] of [
    [AGENT, own],
    [ALICE, forAlice],
  ] as const) {
    test(`at every door the agent is one workload, for ${principal}`, async () => {
      const seen: Record<string, unknown> = {}
      for (const { title, how, make } of everyWay(list)) {
        const { claims, record, body } = await assertGranted(world, {
          fields: make(),
          ...bound[how],
        })
        const kind = kindOf(how)
        assert.deepEqual([claims.sub, claims.client_id, record.workload], [principal, AGENT, AGENT])
        assert.equal(body.token_type, kind === 'dpop' ? 'DPoP' : 'Bearer')
        const cnf = kind === 'dpop' ? { jkt: key.jkt } : { 'x5t#S256': certificateThumbprint(der) }
        assert.deepEqual(claims.cnf, cnf)
        // The session is of the workload, its principal and its key, whichever door it came by.
        seen[kind] ??= whoIs(claims, record)
        assert.deepEqual(whoIs(claims, record), seen[kind], `${title}, ${how}`)
      }
      const [first, second] = Object.values(seen) as ReturnType<typeof whoIs>[]
      assert.notEqual(first?.sid, second?.sid)
      assert.deepEqual(first?.act, second?.act)
    })
  }

  /** Policy's own words, and what is said about them on the wire. */
  async function answerTo(ask: Ask) {
    const { status, body, records } = await visit(world, ask)
    const { outcome, reason, evidence, policies, decision } = records[0] ?? {}
    const { error, error_description } = body
    return { status, error, error_description, outcome, reason, evidence, policies, decision }
  }

  const questions: [string, Fields, string | undefined][] = [
    ['an action that is permitted', target(world), undefined],
    ['arguments that are forbidden', target(world, 'forbidden'), 'policy_denied'],
    ['a tool that nobody is permitted', target(world, 'hello', 'drop'), 'policy_denied'],
    ['a tool that there is not', target(world, 'hello', 'absent'), 'action_unknown'],
  ]
  for (const [title, asked, reason] of questions) {
    test(`the answer to ${title} is the same at every door`, async () => {
      for (const list of [own, forAlice]) {
        const answers = new Map<string, unknown>()
        for (const { title, how, make } of everyWay(list)) {
          const ask = { fields: { ...make(), ...asked }, ...bound[how] }
          answers.set(`${title}, ${how}`, await answerTo(ask))
        }
        const [first, ...others] = [...answers.values()]
        assert.equal((first as JsonObject).reason, reason)
        for (const other of others) assert.deepEqual(other, first)
      }
    })
  }

  async function introspect(token: string): Promise<JsonObject> {
    const body = new URLSearchParams({ token, ...assertion(world.issuer, admin) })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const { text } = await send(`${world.issuer}/introspect`, { body: body.toString(), headers })
    return JSON.parse(text) as JsonObject
  }

  test('introspection tells who acts as the token itself does', async () => {
    const next = generateSenderKey()
    const b = 'spiffe://corp.test/agents/b'
    const handedOn = await delegation(world, form.exchange(world.idToken(), form.actor()), b, next)
    const actor = form.actor(world.corp.svid('/agents/b'))
    const asks: Ask[] = [
      { fields: form.exchange(svid()) },
      { fields: form.exchange(world.idToken(), form.actor()) },
      { fields: form.exchange(world.idToken()), ...bound.mtls },
      { fields: form.exchange(handedOn, actor, DELEGATION), key: next },
    ]
    const chains: unknown[] = []
    for (const ask of asks) {
      const { body, claims } = await assertGranted(world, ask)
      const { active, token_type, ...told } = await introspect(String(body.access_token))
      assert.equal(active, true)
      assert.equal(token_type, body.token_type)
      assert.deepEqual(told, claims)
      chains.push(told.act)
    }
    const iss = 'spiffe://corp.test'
    const outer = { sub: AGENT, iss, sub_profile: 'ai_agent' }
    assert.deepEqual(chains, [
      undefined,
      outer,
      outer,
      { sub: b, iss, sub_profile: 'ai_agent', act: outer },
    ])
  })

  /** Revokes, and waits until the broker itself has heard: at most the bound of the feed. */
  const revoke = (kind: 'agent' | 'session', value: string) =>
    world.running.revoke({ target: { kind, value }, reason: 'a test', by: 'a test' })

  test('a session that is stopped is stopped at every door, and no other is', async () => {
    const one = { fields: form.exchange(svid()), key }
    const { claims, body } = await assertGranted(world, one)
    await revoke('session', String(claims.sid))
    for (const { title, how, make } of everyWay(own)) {
      const { reason, evidence } = await answerTo({ fields: make(), ...bound[how] })
      // Where both keys are proved the token could be bound to either, so neither may be stopped.
      const stopped = how === 'dpop' || how === 'both'
      const expected = stopped ? ['revoked', { target: 'session' }] : [undefined, undefined]
      assert.deepEqual([reason, evidence], expected, `${title}, ${how}`)
    }
    assert.deepEqual(await introspect(String(body.access_token)), { active: false })
    await assertGranted(world, { ...one, fields: form.exchange(svid()), key: generateSenderKey() })
  })

  test('an agent that is stopped is stopped at every door, whoever it acts for', async () => {
    const fresh = generateSenderKey()
    const way = (how: How) => ('key' in bound[how] && bound[how].key ? { key: fresh } : {})
    await revoke('agent', AGENT)
    for (const { title, how, make } of [...everyWay(own), ...everyWay(forAlice)]) {
      const asked = { fields: make(), ...bound[how], ...way(how) }
      const { reason, evidence } = await answerTo(asked)
      assert.deepEqual([reason, evidence], ['revoked', { target: 'agent' }], `${title}, ${how}`)
    }
    const other = world.corp.svid('/agents/other')
    await assertGranted(world, { fields: form.exchange(other) })
  })
}
