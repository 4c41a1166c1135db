// One `writ serve` that trusts somebody of every kind, and everybody who comes to it.
import assert from 'node:assert/strict'
import { Agent } from 'node:https'
import { describe, test } from 'node:test'
import { TLSSocket } from 'node:tls'
import { generateSenderKey, type SenderKey } from '../../src/token/proof.ts'
import { identityOf, sendTls, tlsOptions } from '../server/tls.ts'
import {
  ACTION,
  type Answered,
  actor,
  broker,
  certified,
  cwd,
  DELEGATION,
  domain,
  EXCHANGE,
  exchange,
  issuer,
  JWT_BEARER,
  mtlsUrl,
  post,
  postTls,
  records,
  site,
  svid,
  TYPE,
  writeListenerCertificate,
} from './doors.ts'
import { until } from './serving.ts'
import { AGENT, RESOURCE } from './site.ts'
import { SERVICE_ACCOUNT } from './trust-site.ts'
import { writ } from './writ.ts'

const KINDS: readonly (readonly [
  kind: string,
  ask: () => Promise<Answered>,
  claims: Record<string, unknown>,
])[] = [
  ['a JWT-SVID', async () => post(exchange(await svid())), { sub: AGENT, client_id: AGENT }],
  [
    'a JWT-SVID as an assertion',
    async () => post({ grant_type: JWT_BEARER, assertion: await svid(), ...ACTION }),
    { sub: AGENT, client_id: AGENT },
  ],
  [
    "a pod's token, with the cluster asked",
    () => post(exchange(site.token('kubernetes'))),
    { client_id: `oidc:prod:${SERVICE_ACCOUNT}` },
  ],
  [
    "a CI job's token",
    () => post(exchange(site.token('github'))),
    { client_id: 'oidc:ci:repo:acme/app:ref:refs/heads/main' },
  ],
  [
    'a token of any OpenID Connect issuer',
    () => post({ grant_type: JWT_BEARER, assertion: site.token('oidc'), ...ACTION }),
    { client_id: 'oidc:build:job-42' },
  ],
  [
    "a user's ID token and the agent's SVID",
    async () => post(exchange(site.token('id_token'), 'id_token', await actor())),
    { sub: 'user:staff:alice', client_id: AGENT },
  ],
  [
    "a user's access token and the agent's SVID",
    async () => post(exchange(site.token('access_token'), 'access_token', await actor())),
    { sub: 'user:staff:alice', client_id: AGENT },
  ],
  [
    "an ID-JAG and the agent's certificate",
    async () => {
      const form = { grant_type: JWT_BEARER, assertion: site.token('id_jag'), ...ACTION }
      return postTls(form, await identityOf(domain, '/agents/bot'))
    },
    { sub: 'user:staff:alice', client_id: AGENT },
  ],
  [
    'a registered client’s key',
    () =>
      post({
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: site.assertion(),
        ...ACTION,
      }),
    { client_id: 'spiffe://corp.test/agents/batch' },
  ],
  [
    'an X509-SVID',
    async () => postTls(certified(), await identityOf(domain, '/agents/bot')),
    { sub: AGENT, client_id: AGENT },
  ],
  [
    'an X509-SVID that a listed proxy passes on',
    async () => {
      const { cert } = await identityOf(domain, '/agents/bot')
      const der = cert.split('-----')[2]?.replaceAll(/\s/g, '')
      return post(certified(), { headers: { 'Client-Cert': `:${der}:` } })
    },
    { sub: AGENT, client_id: AGENT },
  ],
]

describe('whoever is trusted gets a token', () => {
  for (const [kind, ask, expected] of KINDS) {
    test(`by ${kind}`, async () => {
      const { status, body, claims } = await ask()
      assert.equal(status, 200, JSON.stringify([body, (await records()).at(-1)]))
      for (const [name, value] of Object.entries(expected)) assert.equal(claims[name], value)
      assert.equal(claims.aud, RESOURCE)
      assert.ok(claims.cnf)
    })
  }

  test('by a delegation that another agent asked for, and by nobody else', async () => {
    const [keyOfB, b] = [generateSenderKey(), '/agents/b']
    const ceiling = {
      type: 'mcp_ceiling',
      locations: [RESOURCE],
      actions: ['tools/call'],
      identifiers: ['transfer_funds'],
    }
    const handedOn = await post({
      grant_type: EXCHANGE,
      requested_token_type: DELEGATION,
      subject_token: await svid(),
      subject_token_type: `${TYPE}jwt`,
      may_act: `spiffe://corp.test${b}`,
      may_act_jkt: keyOfB.jkt,
      authorization_details: JSON.stringify([ceiling]),
    })
    assert.equal(handedOn.status, 200, JSON.stringify(handedOn.body))
    const token = String(handedOn.body.access_token)
    const use = async (path: string, key: SenderKey) =>
      post(
        {
          ...exchange(token),
          subject_token_type: DELEGATION,
          actor_token: await svid(path),
          actor_token_type: `${TYPE}jwt`,
        },
        { key },
      )
    const { status, claims } = await use(b, keyOfB)
    assert.deepEqual([status, claims.sub, claims.client_id], [200, AGENT, `spiffe://corp.test${b}`])
    assert.equal((await use(b, generateSenderKey())).status, 400)
    assert.equal((await use('/agents/c', keyOfB)).status, 400)
    const told = await writ(['identity', 'inspect', '--config', 'writ.yaml', '--json'], {
      cwd,
      input: token,
    })
    assert.equal(told.json().kind, 'delegation', told.stdout)
  })
})

test('who is not trusted is refused, and no issuer is asked', async () => {
  const before = site.requests.length
  const strangers = [
    site.token('oidc', { iss: `${site.origin}/stranger` }),
    await svid('/agents/bot', 'https://other.example'),
    site.token('kubernetes', { iss: `${site.origin}/oidc` }),
  ]
  for (const token of strangers) {
    const { status, body } = await post(exchange(token))
    assert.deepEqual([status, body.error], [400, 'invalid_request'])
  }
  assert.equal(site.requests.length, before)
})

test('the token of a deleted pod counts no longer, though it has not expired', async () => {
  site.pods.alive = false
  const token = site.token('kubernetes', { jti: 'of-a-deleted-pod' })
  assert.equal((await post(exchange(token))).status, 400)
  site.pods.alive = true
  assert.equal((await records()).at(-1)?.reason, 'identity_invalid')
})

test('by JWT-SVID and by X509-SVID it is one principal, and one revocation stops both doors', async () => {
  const path = '/agents/two-doors'
  const id = `spiffe://corp.test${path}`
  const identity = await identityOf(domain, path)
  const doors = [
    async () => post(exchange(await svid(path))),
    () => postTls(certified(id), identity),
  ]
  for (const ask of doors) assert.equal((await ask()).status, 200)
  const names = (await records()).slice(-2).map((one) => [one.workload, one.principal, one.outcome])
  assert.deepEqual(names, [
    [id, id, 'issued'],
    [id, id, 'issued'],
  ])
  const revoked = await writ(['revoke', `agent:${id}`, '--config', 'writ.yaml', '--json'], { cwd })
  assert.equal(revoked.json().through, 'broker', revoked.stdout)
  for (const ask of doors) await until(async () => (await ask()).status !== 200)
  for (const { reason, workload } of (await records()).slice(-2)) {
    assert.deepEqual([reason, workload], ['revoked', id])
  }
  const other = await postTls(certified(), await identityOf(domain, '/agents/bot'))
  assert.equal(other.status, 200)
})

test('certificate files that are replaced serve new connections, and cut no open one', async (t) => {
  const identity = await identityOf(domain, '/agents/bot')
  const kept = new Agent({ ...tlsOptions(domain, identity), keepAlive: true, maxSockets: 1 })
  t.after(() => kept.destroy())
  const connections = new Set<string>()
  kept.on('free', (socket) => connections.add(`${socket.localPort}`))
  const ask = async (agent?: Agent) => (await postTls(certified(), identity, agent)).status
  assert.equal(await ask(kept), 200)

  const before = await serialOfListener()
  await writeListenerCertificate(3600)
  broker.child.kill('SIGHUP')
  await until(async () => (await serialOfListener()) !== before)
  assert.equal(await ask(kept), 200)
  assert.equal(await ask(), 200)
  assert.equal(connections.size, 1)

  async function serialOfListener(): Promise<string> {
    const probe = new Agent({ ...tlsOptions(domain, identity) })
    let serial = ''
    probe.on('free', () => {})
    const connect = probe.createConnection.bind(probe)
    probe.createConnection = (...args) => {
      const socket = connect(...args)
      if (socket instanceof TLSSocket) {
        socket.once('secureConnect', () => {
          serial = socket.getPeerCertificate().serialNumber
        })
      }
      return socket
    }
    await sendTls(`${mtlsUrl}/healthz`, { tls: {}, agent: probe })
    probe.destroy()
    return serial
  }
})

test('a listener’s certificate that expires without another one makes the broker unready', async () => {
  const ready = async () => (await fetch(`${issuer}/readyz`)).json() as Promise<{ checks: object }>
  const well = { store: 'ok', feed: 'ok', keys: 'ok', audit: 'ok', trust: 'ok' }
  assert.deepEqual((await ready()).checks, { ...well, certificate: 'ok' })
  // Looked at every two seconds; what has already expired would not be taken.
  await writeListenerCertificate(6)
  await until(async () => JSON.stringify(await ready()).includes('failing'))
  assert.deepEqual((await ready()).checks, { ...well, certificate: 'failing' })
  await until(() => /its certificate has expired/.test(broker.output().stderr))
  await writeListenerCertificate(3600)
  await until(async () => !JSON.stringify(await ready()).includes('failing'))
})

test('it says where it listens, has no credential in its log, and stops in order', async () => {
  const said = JSON.parse(broker.output().stdout)
  assert.equal(said.mtlsUrl, mtlsUrl)
  assert.doesNotMatch(broker.output().stderr, /eyJ|-----BEGIN/)
  assert.doesNotMatch(JSON.stringify(await records()), /eyJ|-----BEGIN/)
  broker.child.kill('SIGTERM')
  assert.equal(await broker.exit, 0)
})
