// What a TLS connection tells about its client, measured on real ones.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import { type AddressInfo, connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  connect,
  getCACertificates,
  type SecureContextOptions,
  setDefaultCACertificates,
} from 'node:tls'
import { pino } from 'pino'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'
import { createProver } from '../../src/identity/prover.ts'
import { createX509SvidProver } from '../../src/identity/x509/x509-svid.ts'
import { Refusal, refuse } from '../../src/refusal.ts'
import { createTlsServer } from '../../src/server/mtls.ts'
import { DEFAULT_LIMITS, type Limits } from '../../src/server/parts.ts'
import { peerCertificate } from '../../src/server/peer-certificate.ts'
import type { PresentedCertificate } from '../../src/token/certificate.ts'
import { requireProgram } from '../support/programs.ts'
import {
  authorityOf,
  credentialsOf,
  type Identity,
  identityOf,
  intermediateOf,
  leafOf,
} from './tls.ts'

let directory: string
let domain: DevelopmentDomain
let server: Identity
let client: Identity
let intermediate: ReturnType<typeof authorityOf>
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-tls-'))
  domain = await createDevelopmentDomain({
    directory: join(directory, 'domain'),
    trustDomain: 'corp.test',
  })
  server = await identityOf(domain, '/broker')
  intermediate = await intermediateOf(authorityOf(domain), 'corp.test')
  client = await leafOf(intermediate, 'spiffe://corp.test/a')
})
after(() => rm(directory, { recursive: true }))

/** Answers each request with what is known of its client. */
async function listening(made: Server, use: (port: number) => Promise<void>): Promise<void> {
  made.on('request', (request, response) => {
    response.setHeader('connection', 'close')
    const peer = peerCertificate(request.socket)
    const again = peerCertificate(request.socket)
    const chain = peer?.chain.map((der) => Buffer.from(der).toString('base64'))
    response.end(`\n${JSON.stringify({ chain, resumed: peer?.resumed, same: peer === again })}\n`)
  })
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve))
  try {
    await use((made.address() as AddressInfo).port)
  } finally {
    await new Promise((resolve) => made.close(resolve))
  }
}

const ours = (credentials = credentialsOf(server), limits: Partial<Limits> = {}) =>
  createTlsServer(
    { address: { host: '127.0.0.1', port: 0 }, url: 'https://x.test', credentials },
    { ...DEFAULT_LIMITS, ...limits },
    pino({ enabled: false }),
  )

interface Seen {
  readonly chain?: string[]
  readonly resumed?: boolean
  readonly same: boolean
}

interface Visit extends Pick<SecureContextOptions, 'ciphers' | 'minVersion' | 'maxVersion'> {
  readonly port: number
  readonly identity?: Identity
  readonly session?: Buffer | undefined
}

/** One request; what the server saw, and the last session it gave. */
function visit({ port, identity, session, ...options }: Visit) {
  const { promise, resolve, reject } = Promise.withResolvers<{ seen: Seen; session?: Buffer }>()
  let given: Buffer | undefined
  let text = ''
  const socket = connect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...identity,
    ...options,
    ...(session === undefined ? {} : { session }),
  })
  socket.on('session', (each) => {
    given = each
  })
  socket.on('error', reject)
  socket.on('data', (data) => {
    text += data
  })
  socket.on('close', () => {
    if (text === '') return reject(new Error('closed without an answer'))
    const seen = JSON.parse(text.split('\n').at(-2)!) as Seen
    resolve({ seen, ...(given === undefined ? {} : { session: given }) })
  })
  socket.write('GET / HTTP/1.1\r\nHost: x.test\r\n\r\n')
  return promise
}

const base64Of = (pem: string) =>
  pem
    .split(/(?<=-----END CERTIFICATE-----)/)
    .filter((text) => text.includes('BEGIN'))
    .map((text) => new X509Certificate(text).raw.toString('base64'))
const versions = ['TLSv1.3', 'TLSv1.2'] as const
const TLS_12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const

for (const maxVersion of versions) {
  test(`the chain is what the client sent, in its order (${maxVersion})`, async () => {
    const { caPem } = authorityOf(domain)
    await listening(ours(), async (port) => {
      const chains = [
        client.cert,
        client.cert + intermediate.caPem,
        client.cert + intermediate.caPem + caPem,
        client.cert + caPem + intermediate.caPem,
        client.cert + server.cert + intermediate.caPem,
        client.cert + client.cert + intermediate.caPem,
      ]
      for (const cert of chains) {
        const { seen } = await visit({ port, identity: { ...client, cert }, maxVersion })
        assert.deepEqual(seen, { chain: base64Of(cert), resumed: false, same: true })
      }
    })
  })
}

test('more certificates than a path needs are not read', async () => {
  await listening(ours(), async (port) => {
    const cert = client.cert + intermediate.caPem.repeat(20)
    const { seen } = await visit({ port, identity: { ...client, cert } })
    assert.equal(seen.chain!.length, 10)
  })
})

test('a connection without a certificate has none', async () => {
  await listening(ours(), async (port) => {
    assert.deepEqual((await visit({ port })).seen, { same: true })
  })
})

const offers: readonly (readonly [what: string, offer: SecureContextOptions, taken: boolean])[] = [
  ['TLS 1.2 with AES-GCM', { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }, true],
  ['TLS 1.2 with ChaCha20', { ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' }, true],
  ['TLS 1.2 without authenticated encryption', { ciphers: 'ECDHE-ECDSA-AES128-SHA' }, false],
  ['the same with a longer hash', { ciphers: 'ECDHE-ECDSA-AES256-SHA384' }, false],
  ['TLS 1.1', { ciphers: 'ALL:@SECLEVEL=0', minVersion: 'TLSv1', maxVersion: 'TLSv1.1' }, false],
]
for (const [what, offer, taken] of offers) {
  test(`${what} is ${taken ? 'taken' : 'refused'}, whatever the client's software allows`, async () => {
    await listening(ours(), async (port) => {
      const visiting = visit({ port, ...TLS_12, ...offer })
      if (taken) assert.deepEqual((await visiting).seen, { same: true })
      else await assert.rejects(visiting, /alert|handshake|protocol/i)
    })
  })
}

test('what the machine trusts adds nothing to the chain and takes nothing from it', async () => {
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, authorityOf(domain).caPem])
  try {
    await listening(ours(), async (port) => {
      for (const cert of [client.cert, client.cert + intermediate.caPem]) {
        const { seen } = await visit({ port, identity: { ...client, cert } })
        assert.deepEqual(seen.chain, base64Of(cert))
      }
    })
  } finally {
    setDefaultCACertificates(before)
  }
})

for (const maxVersion of versions) {
  test(`a client cannot come back with an old session (${maxVersion})`, async () => {
    const credentials = credentialsOf(server)
    await listening(ours(credentials), async (port) => {
      let session: Buffer | undefined
      for (let i = 0; i < 4; i += 1) {
        // Nor when the listener has got a new certificate.
        if (i === 2) credentials.replace(await identityOf(domain, '/broker'))
        const cert = client.cert + intermediate.caPem
        const visited = await visit({ port, identity: { ...client, cert }, maxVersion, session })
        assert.deepEqual([visited.seen.resumed, visited.seen.chain?.length], [false, 2])
        session = visited.session
      }
      assert.ok(session !== undefined)
    })
  })

  test(`where sessions are resumed, it is noticed and proves nothing (${maxVersion})`, async () => {
    // What the listener would be without its settings.
    const careless = createServer({ ...server, requestCert: true, rejectUnauthorized: false })
    let presented: PresentedCertificate | undefined
    careless.on('request', ({ socket }) => {
      presented = peerCertificate(socket)
    })
    await listening(careless, async (port) => {
      const first = await visit({ port, identity: client, maxVersion })
      assert.equal(first.seen.resumed, false)
      const second = await visit({ port, identity: client, maxVersion, session: first.session })
      assert.equal(second.seen.resumed, true)
    })
    const prover = createProver({
      issuer: 'https://broker.test',
      jwtSvid: { prove: () => refuse({ code: 'identity_missing' }) },
      x509Svid: createX509SvidProver({
        bundles: { knows: () => true, version: () => 1, x509Authorities: () => [] },
      }),
    })
    const refused = (error: unknown) => {
      assert.ok(error instanceof Refusal)
      assert.deepEqual(error.reason, { code: 'identity_invalid', check: 'resumed' })
      return true
    }
    assert.throws(() => prover.proveCertificate(presented!, Date.now() / 1000), refused)
  })
}

const skip = requireProgram('openssl', 'install OpenSSL')
test('OpenSSL resumes no session either, and renegotiates none', { skip }, async () => {
  const files = { cert: join(directory, 'client.pem'), key: join(directory, 'client.key') }
  await writeFile(files.cert, client.cert)
  await writeFile(files.key, client.key)
  const session = join(directory, 'session')
  await listening(ours(), async (port) => {
    /** Types the input once the handshake is through; ends when either side has closed. */
    const run = async (args: readonly string[], input: string) => {
      const child = spawn('openssl', [
        's_client',
        '-connect',
        `127.0.0.1:${port}`,
        ...['-cert', files.cert, '-key', files.key],
        ...args,
      ])
      const closed = new Promise((resolve) => child.once('close', resolve))
      // It may be gone before everything is written.
      child.stdin.on('error', () => undefined)
      let text = ''
      let typed = false
      const hear = (data: Buffer) => {
        text += data
        if (typed || !text.includes('Verify return code')) return
        typed = true
        child.stdin.write(input)
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      await closed
      return text
    }
    const request = 'GET / HTTP/1.1\r\nHost: x.test\r\n\r\n'
    for (const version of ['-tls1_3', '-tls1_2']) {
      for (const args of [
        [version, '-sess_out', session],
        [version, '-sess_in', session],
      ]) {
        const text = await run(args, request)
        assert.match(text, /^New, TLS/m)
        assert.doesNotMatch(text, /^Reused, TLS/m)
        assert.match(text, /"resumed":false/)
      }
    }
    const text = await run(['-tls1_2'], 'R\n')
    assert.match(text, /no renegotiation/)
    assert.doesNotMatch(text, /"resumed"/)
    const weak = await run(['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA256'], request)
    assert.match(weak, /handshake failure/)
    assert.match(await run(['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'], request), /alert|error/)
  })
})

test('who does not come to the point of a handshake is cut off', async () => {
  await listening(ours(undefined, { headersMs: 200 }), async (port) => {
    const socket = connectTcp(port, '127.0.0.1')
    await new Promise((resolve) => socket.once('close', resolve))
  })
})

test('a listener that is closed follows its certificate no longer', async () => {
  const credentials = credentialsOf(server)
  await listening(ours(credentials), async () => assert.equal(credentials.followers, 1))
  assert.equal(credentials.followers, 0)
})
