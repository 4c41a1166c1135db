/** Closing waits for requests, and for nothing else. */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { startFixture } from './fixture.ts'
import { mtlsPart, tlsOptions } from './tls.ts'

/** Closing that waits this long is closing that waits for good. */
const LONG_MS = 120_000

async function broker(t: TestContext) {
  let port = 0
  const fixture = await startFixture({
    parts: { limits: { drainMs: LONG_MS, headersMs: LONG_MS, requestMs: LONG_MS } },
    withDomain: async (domain) => {
      const mtls = await mtlsPart(domain)
      port = mtls.address.port
      return { mtls }
    },
  })
  const sockets: Socket[] = []
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await close()
  })
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= fixture.close()
    return closing
  }
  const follow = <T extends Socket>(socket: T): T => {
    socket.on('error', () => {})
    sockets.push(socket)
    return socket
  }
  return { fixture, mtlsPort: port, follow, close }
}
type Site = Awaited<ReturnType<typeof broker>>

const once = (socket: Socket, event: string) =>
  new Promise<void>((resolve) => socket.once(event, () => resolve()))

async function open({ follow }: Site, port: number): Promise<Socket> {
  const socket = follow(connect(port, '127.0.0.1'))
  await once(socket, 'connect')
  return socket
}

async function openTls({ fixture, mtlsPort: port, follow }: Site): Promise<Socket> {
  const socket = follow(connectTls({ host: '127.0.0.1', port, ...tlsOptions(fixture.domain) }))
  await once(socket, 'secureConnect')
  return socket
}

const publicPort = ({ fixture }: Site) => Number(new URL(fixture.issuer).port)

/** Asks for something else, so that the broker has seen all connections that were made before. */
async function settled({ fixture }: Site): Promise<void> {
  await fetch(`${fixture.issuer}/healthz`)
  await new Promise((resolve) => setTimeout(resolve, 50))
}

async function closed({ close }: Site): Promise<string> {
  const { promise: late, resolve } = Promise.withResolvers<string>()
  const timer = setTimeout(resolve, 10_000, 'still open')
  try {
    return await Promise.race([close().then(() => 'closed'), late])
  } finally {
    clearTimeout(timer)
  }
}

const silent: [string, (site: Site) => Promise<Socket>][] = [
  ['a connection that says nothing', (site) => open(site, publicPort(site))],
  ['one that begins no handshake', (site) => open(site, site.mtlsPort)],
  [
    'one that stops in the middle of its handshake',
    async (site) => {
      const socket = await open(site, site.mtlsPort)
      // The head of a record of 512 bytes that will never come.
      socket.write(Buffer.from('1603010200', 'hex'))
      return socket
    },
  ],
  ['one that says nothing after its handshake', openTls],
]
for (const [name, connectTo] of silent) {
  test(`${name} does not hold up closing`, async (t) => {
    const site = await broker(t)
    const socket = await connectTo(site)
    const ended = once(socket, 'close')
    socket.resume()
    await settled(site)
    assert.equal(await closed(site), 'closed')
    await ended
  })
}

const REQUEST = (port: number) => `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n`

const asking: [string, (site: Site) => Promise<Socket>, (site: Site) => number][] = [
  ['over TCP', (site) => open(site, publicPort(site)), publicPort],
  ['over TLS', openTls, (site) => site.mtlsPort],
]
for (const [name, connectTo, portOf] of asking) {
  test(`a request that is still being sent ${name} is answered before the broker closes, and told not to come back`, async (t) => {
    const site = await broker(t)
    const socket = await connectTo(site)
    socket.write(REQUEST(portOf(site)))
    await settled(site)
    const end = closed(site)
    const answer = new Promise<string>((resolve) =>
      socket.once('data', (data) => resolve(data.toString('latin1'))),
    )
    socket.write('\r\n')
    assert.match(await answer, /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is)
    assert.equal(await end, 'closed')
  })
}
