/** Certificates at each gate: real handshakes, sessions that are resumed, and connections that last. */
import assert from 'node:assert/strict'
import { createServer as createPlainServer, request as httpRequest } from 'node:http'
import { createSecureServer } from 'node:http2'
import { Agent, createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls, type SecureVersion, type TLSSocket } from 'node:tls'
import { createVerifier, nodeGate, type Verifier } from '../../src/verifier/index.ts'
import { GATES, type Served } from '../matrix/servers.ts'
import {
  type Certified,
  callMessage,
  certified,
  claimsFor,
  clock,
  mint,
  options,
  request,
} from './rig.ts'

const LIFETIME_SECONDS = 200
const NAMES = ['host', 'accept', 'content-type', 'authorization', 'client-cert']

/** Seconds that the verifiers' clock is ahead; the feed's stays, or it would seem silent afterwards. */
let ahead = 0

let rig: Awaited<ReturnType<typeof options>>
/** Believes nobody's headers, and those of this machine. */
let strict: Verifier
let behindProxy: Verifier
let serverCertificate: Certified
let own: Certified
let other: Certified

before(async () => {
  rig = await options({ certificates: true, clock: () => clock.now() + ahead })
  strict = createVerifier(rig.options)
  behindProxy = createVerifier({ ...rig.options, trustedProxies: ['127.0.0.0/8'] })
  await Promise.all([strict.ready(), behindProxy.ready()])
  ;[serverCertificate, own, other] = await Promise.all([
    certified(),
    certified(LIFETIME_SECONDS),
    certified(LIFETIME_SECONDS),
  ])
})
after(async () => {
  await Promise.all([strict.close(), behindProxy.close()])
  await rig.publisher.close()
})

/** Every `Client-Cert` that a handler can find, wherever it looks. */
let found: unknown[] = []
const mcp: Served = {
  ran: [],
  async node(req, res) {
    found = [
      req.headers['client-cert'],
      req.headersDistinct?.['client-cert'],
      req.rawHeaders.find((name) => name.toLowerCase() === 'client-cert'),
    ]
    res.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  },
  async fetch(incoming) {
    found = [incoming.headers.get('client-cert')]
    assert.equal(incoming.method, 'POST')
    return new Response('{}', { headers: { 'content-type': 'application/json' } })
  },
}

/** Header lines and body of a request whose token is bound to `holder`'s certificate. */
function lines(holder: Certified, clientCert?: Uint8Array) {
  const iat = Math.floor(clock.now() + ahead)
  const sent = request({
    token: mint(claimsFor({}, { cnf: holder.cnf, iat, exp: iat + 60 })),
    message: callMessage(),
    scheme: 'Bearer',
    ...(clientCert && {
      headers: { 'client-cert': `:${Buffer.from(clientCert).toString('base64')}:` },
    }),
  })
  const headers = NAMES.flatMap((name) => sent.headers(name).map((value) => [name, value] as const))
  return { headers, body: sent.body ?? Buffer.alloc(0) }
}

const keys = ({ chainPem, privateKeyPem }: Certified) => ({ cert: chainPem, key: privateKeyPem })

async function listen(server: Server | ReturnType<typeof createPlainServer>) {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(resolve))
    },
  }
}

const secured = (listener: Parameters<typeof createServer>[1], version?: SecureVersion) =>
  createServer(
    {
      ...keys(serverCertificate),
      // The certificate need not lead anywhere: the broker has looked at it.
      requestCert: true,
      rejectUnauthorized: false,
      ...(version && { minVersion: version, maxVersion: version }),
    },
    listener,
  )

type Lines = ReturnType<typeof lines>

/** One request over a socket that is there already, or by an agent that keeps it. */
function ask(
  at: { port: number; agent?: Agent; createConnection?: () => TLSSocket },
  { headers, body }: Lines,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      host: '127.0.0.1',
      path: '/mcp',
      method: 'POST',
      headers: headers.flat(),
      ...at,
      ...(at.agent && { protocol: 'https:' }),
    } as object)
    outgoing.on('error', reject)
    outgoing.on('response', (response) => {
      text(response).then(() => resolve(response.statusCode ?? 0), reject)
    })
    outgoing.end(body)
  })
}

const agentOf = (holder: Certified | undefined) =>
  new Agent({
    ...(holder && keys(holder)),
    rejectUnauthorized: false,
    keepAlive: true,
    maxSockets: 1,
  })

for (const [name, mount] of Object.entries(GATES)) {
  describe(`${name} gate`, () => {
    let server: Awaited<ReturnType<typeof listen>>
    let proxied: Awaited<ReturnType<typeof listen>>
    before(async () => {
      server = await listen(secured(await mount(strict, mcp)))
      proxied = await listen(createPlainServer(await mount(behindProxy, mcp)))
    })
    after(() => Promise.all([server.close(), proxied.close()]))

    async function over(holder: Certified | undefined, sent: Lines): Promise<number> {
      const agent = agentOf(holder)
      try {
        return await ask({ port: server.port, agent }, sent)
      } finally {
        agent.destroy()
      }
    }

    test('a token is good over the connection of its certificate, and over no other', async () => {
      assert.equal(await over(own, lines(own)), 200)
      assert.equal(await over(other, lines(own)), 401)
      assert.equal(rig.records.at(-1)?.reason, 'key_mismatch')
      assert.equal(await over(undefined, lines(own)), 401)
      assert.equal(rig.records.at(-1)?.reason, 'binding_missing')
    })

    test('a certificate that expires ends its connection’s tokens, not only new connections', async () => {
      const agent = agentOf(own)
      try {
        assert.equal(await ask({ port: server.port, agent }, lines(own)), 200)
        ahead = LIFETIME_SECONDS + 1
        assert.equal(await ask({ port: server.port, agent }, lines(own)), 401)
        assert.equal(rig.records.at(-1)?.reason, 'identity_invalid')
      } finally {
        ahead = 0
        agent.destroy()
      }
    })

    test('a Client-Cert header of a stranger proves nothing, and no tool sees it', async () => {
      assert.equal(await over(undefined, lines(own, own.certificate)), 401)
      assert.equal(rig.records.at(-1)?.reason, 'certificate_untrusted')
      assert.equal(await over(other, lines(own, own.certificate)), 401)
      found = ['nothing ran']
      assert.equal(await over(own, lines(own, other.certificate)), 200)
      assert.deepEqual(found.filter(Boolean), [])
    })

    test('a listed proxy passes its client’s certificate on', async () => {
      const { port } = proxied
      assert.equal(await ask({ port }, lines(own, own.certificate)), 200)
      assert.ok(found.every(Boolean), 'what is believed is left')
      assert.equal(await ask({ port }, lines(own, other.certificate)), 401)
      assert.equal(await ask({ port }, lines(own)), 401)
      const twice = lines(own, own.certificate)
      twice.headers.push(twice.headers.at(-1) ?? assert.fail())
      assert.equal(await ask({ port }, twice), 401)
      assert.equal(rig.records.at(-1)?.reason, 'identity_invalid')
    })

    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      test(`a resumed session counts only as long as its certificate (${version})`, async (t) => {
        const resuming = await listen(secured(await mount(strict, mcp), version))
        t.after(() => {
          ahead = 0
          return resuming.close()
        })
        let session: Buffer | undefined
        const open = () =>
          new Promise<TLSSocket>((resolve, reject) => {
            const socket: TLSSocket = connectTls(
              {
                port: resuming.port,
                host: '127.0.0.1',
                ...keys(own),
                rejectUnauthorized: false,
                ...(session && { session }),
              },
              () => resolve(socket),
            )
            socket.on('session', (given) => (session = given)).on('error', reject)
          })
        async function through(): Promise<[resumed: boolean, status: number]> {
          const socket = await open()
          const createConnection = () => socket
          const status = await ask({ port: resuming.port, createConnection }, lines(own))
          const resumed = socket.isSessionReused()
          socket.destroy()
          return [resumed, status]
        }
        assert.deepEqual(await through(), [false, 200])
        assert.deepEqual(await through(), [true, 200])
        ahead = LIFETIME_SECONDS + 1
        assert.deepEqual(await through(), [true, 401])
        assert.equal(rig.records.at(-1)?.reason, 'identity_invalid')
      })
    }
  })
}

test('over HTTP/2 it is the certificate of the same connection', async (t) => {
  const { connect } = await import('node:http2')
  const gate = nodeGate(strict)
  const server = createSecureServer(
    { ...keys(serverCertificate), requestCert: true, rejectUnauthorized: false },
    async (req, res) => {
      if (!(await gate(req as never, res as never))) return
      found = [req.headers['client-cert'], req.rawHeaders.includes('client-cert')]
      res.end('{}')
    },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => new Promise((resolve) => server.close(resolve)))
  const { port } = server.address() as AddressInfo
  for (const [holder, expected] of [
    [own, 200],
    [other, 401],
  ] as const) {
    const session = connect(`https://127.0.0.1:${port}`, {
      ...keys(holder),
      rejectUnauthorized: false,
    })
    const { headers, body } = lines(own, other.certificate)
    const fields = Object.fromEntries(headers.filter(([name]) => name !== 'host'))
    const stream = session.request({
      ':method': 'POST',
      ':path': '/mcp',
      ':authority': 'mcp.example',
      ...fields,
    })
    const status = new Promise((resolve) => {
      stream.on('response', (answer) => resolve(answer[':status']))
    })
    stream.end(body)
    assert.equal(await status, expected)
    session.destroy()
  }
  assert.deepEqual(found, [undefined, false])
})

test('a connection that is no TLS has no certificate', async (t) => {
  const server = await listen(createPlainServer(await GATES.node!(strict, mcp)))
  t.after(() => server.close())
  assert.equal(await ask({ port: server.port }, lines(own)), 401)
  assert.equal(rig.records.at(-1)?.reason, 'binding_missing')
})
