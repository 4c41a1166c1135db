// What connections and proxies cannot prove, at a broker and at an MCP server's gate; and tokens that
// are shown where they are not for.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type SecureVersion } from 'node:tls'
import { newJti } from '../../src/mint/mint.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import type { Identity } from '../server/tls.ts'
import { type Ask, ask, delegation, forms, tlsOf } from './ask.ts'
import { seconds } from './domain.ts'
import { callTool, startMcp } from './mcp.ts'
import { assertGranted, assertRefused, type Fault, refuses, visit } from './refuses.ts'
import { AGENT, AGENT_PATH, PROXY, startWorld } from './world.ts'

const mcp = await startMcp({ after })
const world = await startWorld({ after }, { resources: [mcp.url] })
await mcp.open(world.issuer, [PROXY])
const form = forms(world)

const derOf = ({ cert }: Identity) => new X509Certificate(cert).raw
const headerOf = (identity: Identity) => ({
  'client-cert': `:${derOf(identity).toString('base64')}:`,
})
const own = world.corp.certificate(AGENT_PATH)
const alone = (more: Partial<Ask> = {}): Ask => ({
  fields: form.alone({ client_id: AGENT }),
  key: null,
  ...more,
})

const strangers: Fault[] = [
  {
    title: 'Client-Cert from a stranger, and from a listed proxy',
    make: (wrong) => alone({ headers: headerOf(own), ...(wrong ? {} : { from: PROXY }) }),
    wire: 'invalid_client',
    audit: ['certificate_untrusted', { peer: '127.0.0.1' }],
  },
  {
    title: 'Client-Cert from a stranger as the key of a JWT-SVID’s owner',
    make: (wrong) => ({
      fields: form.exchange(world.corp.svid(AGENT_PATH)),
      key: null,
      headers: headerOf(own),
      ...(wrong ? {} : { from: PROXY }),
    }),
    wire: 'invalid_client',
    audit: ['certificate_untrusted', { peer: '127.0.0.1' }],
  },
  {
    title: 'Client-Cert on the mTLS listener instead of a certificate',
    make: (wrong) => alone({ headers: headerOf(own), by: wrong ? 'nobody' : own, from: PROXY }),
    wire: 'invalid_client',
    audit: ['certificate_untrusted', { peer: PROXY }],
  },
  {
    title: 'Client-Cert of a certificate by another domain’s authority, from a listed proxy',
    make: (wrong) => {
      const by = wrong ? { by: world.other.authority } : {}
      return alone({ headers: headerOf(world.corp.certificate(AGENT_PATH, by)), from: PROXY })
    },
    wire: 'invalid_client',
    audit: ['identity_invalid', { check: 'chain' }],
  },
]
refuses(world, strangers)

/** The gate's last word. */
function said() {
  const { outcome, reason, evidence } = mcp.records.at(-1) ?? assert.fail()
  return [outcome, reason, evidence]
}

test('at the gate Client-Cert from a stranger proves nothing, and from a listed proxy it does', async () => {
  const { body, record } = await assertGranted(world, alone({ by: own }))
  const token = String(body.access_token)
  const headers = headerOf(own)
  const runs = mcp.runs()
  assert.equal(await callTool(mcp, { token, headers }), 401)
  assert.deepEqual(said(), ['refused', 'certificate_untrusted', { peer: '127.0.0.1' }])
  // Nor may it speak for somebody whose own certificate is another.
  const other = world.corp.certificate('/agents/other')
  assert.equal(await callTool(mcp, { token, headers, by: other }), 401)
  assert.deepEqual(said(), ['refused', 'key_mismatch', {}])
  assert.equal(mcp.runs(), runs)
  assert.equal(await callTool(mcp, { token, headers, from: PROXY }), 200)
  assert.equal(mcp.runs(), runs + 1)
  // Broker and gate call one certificate by one name.
  assert.deepEqual([mcp.records.at(-1)?.key, mcp.records.at(-1)?.jti], [record.key, record.jti])
})

test('a delegation token is no access token', async () => {
  const [key, own] = [generateSenderKey(), generateSenderKey()]
  const b = 'spiffe://corp.test/agents/b'
  const token = await delegation(world, form.exchange(world.corp.svid(AGENT_PATH)), b, key)
  for (const holder of [key, own, undefined]) {
    assert.equal(await callTool(mcp, { token, ...(holder && { key: holder }) }), 401)
    assert.deepEqual(said(), ['refused', 'token_invalid', { check: 'typ' }])
  }
  const fields = form.exchange(
    token,
    form.actor(world.corp.svid('/agents/b')),
    'urn:writ:params:oauth:token-type:delegation',
  )
  const { body } = await assertGranted(world, { fields, key })
  assert.equal(await callTool(mcp, { token: String(body.access_token), key }), 200)
})

const versions: SecureVersion[] = ['TLSv1.3', 'TLSv1.2']

/** A connection that is closed again; the session it was given, and whether it was an old one. */
function visitTls(url: string, options: object) {
  const { promise, resolve, reject } = Promise.withResolvers<{
    session: Buffer | undefined
    resumed: boolean
  }>()
  const { hostname: host, port } = new URL(url)
  let session: Buffer | undefined
  const socket = connect({ host, port: Number(port), ...options })
  socket.on('error', reject)
  socket.on('session', (given) => {
    session = given
  })
  let resumed = false
  socket.on('secureConnect', () => {
    resumed = socket.isSessionReused()
    // Sessions of 1.3 come after the handshake, with whatever is answered.
    socket.write(`GET /healthz HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`)
  })
  socket.on('data', () => undefined)
  socket.on('close', () => resolve({ session, resumed }))
  return promise
}

const brief = () => {
  const notAfter = Math.ceil(seconds()) + 2
  return { identity: world.corp.certificate(AGENT_PATH, { notAfter }), notAfter }
}
const until = async (at: number) => {
  while (seconds() < at) await sleep(50)
}

for (const maxVersion of versions) {
  test(`a TLS session outlives the SVID it began with, and proves nothing any more (${maxVersion})`, async () => {
    const { identity, notAfter } = brief()
    const tls = { ...tlsOf(world, identity), maxVersion }
    const { session } = await visitTls(world.mtlsUrl, tls)
    // The broker resumes none, so each connection proves its key.
    const again = await visitTls(world.mtlsUrl, { ...tls, session })
    assert.equal(again.resumed, false)
    const resuming = { ...identity, session, maxVersion } as unknown as Identity
    const before = await visit(world, alone({ by: resuming }))
    if (seconds() < notAfter) assert.equal(before.status, 200)
    await until(notAfter)
    await assertRefused(world, alone({ by: resuming }), {
      wire: 'invalid_client',
      audit: ['identity_invalid', { check: 'expiry' }],
    })
    await assertGranted(world, alone({ by: own }))
  })

  test(`where sessions are resumed, the gate looks at the end of the SVID anyway (${maxVersion})`, async () => {
    const { identity, notAfter } = brief()
    const tls = { rejectUnauthorized: false, ...identity, maxVersion }
    const { session } = await visitTls(mcp.url, tls)
    assert.equal((await visitTls(mcp.url, { ...tls, session })).resumed, true)
    const iat = Math.floor(seconds())
    const { body } = await ask(world, alone({ by: own }))
    // A token that outlives its certificate, which the broker would not sign.
    const token = (jti: string) =>
      world.sign({
        iss: world.issuer,
        aud: mcp.url,
        sub: AGENT,
        client_id: AGENT,
        jti,
        iat,
        exp: iat + 200,
        sid: 'session',
        scope: 'mcp:action',
        authorization_details: body.authorization_details as never,
        cnf: { 'x5t#S256': certificateThumbprint(derOf(identity)) },
      })
    const call = { by: { ...identity, maxVersion } as unknown as Identity, session: session! }
    const early = await callTool(mcp, { ...call, token: token(newJti()) })
    if (seconds() < notAfter) assert.equal(early, 200)
    await until(notAfter)
    assert.equal(await callTool(mcp, { ...call, token: token(newJti()) }), 401)
    assert.deepEqual(said(), ['refused', 'identity_invalid', { check: 'expiry' }])
    assert.equal(mcp.resumed(), true)
  })
}
