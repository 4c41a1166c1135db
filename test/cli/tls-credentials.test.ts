import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { chmod, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { CliError } from '../../src/cli/answer.ts'
import { openTlsCredentials } from '../../src/cli/tls-credentials.ts'
import { createWorkloadApis } from '../../src/cli/workload-apis.ts'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'
import { makeDomain } from '../spiffe/domains.ts'
import { EndpointServer } from '../spiffe/endpoint-server.ts'

interface Place {
  readonly directory: string
  readonly domain: DevelopmentDomain
  readonly files: { kind: 'files'; certificateFile: string; keyFile: string }
  readonly said: string[]
  open(credentials: object): ReturnType<typeof openTlsCredentials>
}

async function place(t: TestContext): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-listener-'))
  t.after(() => rm(directory, { recursive: true }))
  const domain = await createDevelopmentDomain({
    directory: join(directory, 'domain'),
    trustDomain: 'corp.test',
  })
  const stack = new AsyncDisposableStack()
  t.after(() => stack.disposeAsync())
  const said: string[] = []
  const log = pino({}, { write: (line) => said.push(String(JSON.parse(line).msg)) })
  const certificateFile = join(directory, 'c.pem')
  const keyFile = join(directory, 'c.key')
  return {
    directory,
    domain,
    files: { kind: 'files', certificateFile, keyFile },
    said,
    open: (credentials) =>
      openTlsCredentials(
        { url: 'https://broker.test', credentials: credentials as Place['files'] },
        createWorkloadApis(log, stack),
        { log, stack },
      ),
  }
}

/** @returns the serial number */
async function issue({ domain, files, directory }: Place, lifetimeSeconds = 300, now?: number) {
  const svid = await domain.issueX509Svid({
    path: '/broker',
    lifetimeSeconds,
    ...(now === undefined ? {} : { now }),
  })
  await writeFile(files.keyFile, svid.privateKeyPem!, { mode: 0o600 })
  const next = join(directory, 'next.pem')
  await writeFile(next, svid.chainPem)
  await rename(next, files.certificateFile)
  return new X509Certificate(svid.chainPem).serialNumber
}

const serialOf = (pem: string | Buffer) => new X509Certificate(pem).serialNumber

test('files that are replaced serve at once after a reload, and listeners are told', async (t) => {
  const here = await place(t)
  const first = await issue(here)
  const certificate = await here.open(here.files)
  assert.equal(serialOf(certificate.current().cert), first)
  let told = 0
  const forget = certificate.onChange(() => {
    told += 1
  })
  const second = await issue(here)
  await certificate.reload()
  assert.equal(serialOf(certificate.current().cert), second)
  assert.equal(told, 1)
  forget()
  await issue(here)
  await certificate.reload()
  assert.equal(told, 1)
  assert.equal(certificate.fault(Date.now() / 1000), undefined)
})

test('files that do not fit together leave the old certificate serving, and are told once', async (t) => {
  const here = await place(t)
  const first = await issue(here)
  const certificate = await here.open(here.files)
  await writeFile(here.files.keyFile, 'half a k')
  await certificate.reload()
  await certificate.reload()
  assert.equal(serialOf(certificate.current().cert), first)
  assert.equal(here.said.filter((line) => /c\.key: expected a private key/.test(line)).length, 1)
})

const NOT_NOW: readonly (readonly [string, () => number, RegExp])[] = [
  ['has expired', () => Date.now() / 1000 - 3600, /c\.pem has expired at/],
  ['is not yet valid', () => Date.now() / 1000 + 3600, /c\.pem is not valid before/],
]
for (const [title, issuedAt, words] of NOT_NOW) {
  test(`a replacement that ${title} leaves the old certificate serving, and is told once`, async (t) => {
    const here = await place(t)
    const first = await issue(here)
    const certificate = await here.open(here.files)
    certificate.onChange(() => assert.fail('nothing changed'))
    await issue(here, 60, issuedAt())
    await certificate.reload()
    await certificate.reload()
    assert.equal(serialOf(certificate.current().cert), first)
    assert.equal(certificate.fault(Date.now() / 1000), undefined)
    assert.equal(here.said.filter((line) => words.test(line)).length, 1)
    assert.doesNotMatch(here.said.join('\n'), /new certificate/)
  })
}

test('a replacement that is not yet valid serves once it is', async (t) => {
  const here = await place(t)
  const first = await issue(here)
  const certificate = await here.open(here.files)
  const early = await issue(here, 300, Date.now() / 1000 + 3600)
  await certificate.reload()
  assert.equal(serialOf(certificate.current().cert), first)
  const begins = new X509Certificate(await readFile(here.files.certificateFile)).validFromDate
  t.mock.timers.enable({ apis: ['Date'], now: begins.getTime() })
  await certificate.reload()
  assert.equal(serialOf(certificate.current().cert), early)
})

test('a key that other users can read is used, with one warning that names it', async (t) => {
  const here = await place(t)
  await issue(here)
  await chmod(here.files.keyFile, 0o640)
  const certificate = await here.open(here.files)
  await issue(here)
  await certificate.reload()
  const warnings = () =>
    here.said.filter((line) => line.endsWith(`chmod 600 on ${here.files.keyFile}`))
  assert.equal(warnings().length, 1)
  await chmod(here.files.keyFile, 0o600)
  await certificate.reload()
  assert.equal(warnings().length, 1)
  assert.equal(here.said.filter((line) => /has a new certificate/.test(line)).length, 1)
})

test('a key that nobody else can read is nothing to warn of', async (t) => {
  const here = await place(t)
  await issue(here)
  await here.open(here.files)
  assert.deepEqual(here.said, [])
})

test('a certificate that expires without a replacement is a fault, and is told', async (t) => {
  const here = await place(t)
  await issue(here, 2)
  const certificate = await here.open(here.files)
  const now = Date.now() / 1000
  assert.equal(certificate.fault(now), undefined)
  assert.match(certificate.fault(now + 10) ?? '', /has expired at/)
  await sleep(2100)
  await certificate.reload()
  assert.match(here.said.join('\n'), /the mTLS listener: its certificate has expired/)
})

const BROKEN: readonly (readonly [string, (here: Place) => Promise<unknown>, RegExp])[] = [
  ['no file', async () => {}, /c\.pem/],
  [
    'no certificate',
    async (here) => {
      await issue(here)
      await writeFile(here.files.certificateFile, 'x')
    },
    /c\.pem: expected a certificate in PEM/,
  ],
  [
    "another certificate's key",
    async (here) => {
      const other = await here.domain.issueX509Svid({ path: '/x', lifetimeSeconds: 60 })
      await issue(here)
      await writeFile(here.files.keyFile, other.privateKeyPem!)
    },
    /c\.key is not the key of/,
  ],
  [
    'an expired certificate',
    (here) => issue(here, 60, Date.now() / 1000 - 3600),
    /c\.pem has expired/,
  ],
  [
    'a certificate that is not yet valid',
    (here) => issue(here, 60, Date.now() / 1000 + 3600),
    /c\.pem is not valid before/,
  ],
]
for (const [title, prepare, expected] of BROKEN) {
  test(`a broker does not start on ${title}, and says which file`, async (t) => {
    const here = await place(t)
    await prepare(here)
    await assert.rejects(here.open(here.files), (error) => {
      assert.ok(error instanceof CliError)
      assert.equal(error.code, 'configuration')
      assert.match(error.message, expected)
      return true
    })
  })
}

async function makeCorp(t: TestContext) {
  const corp = await makeDomain('corp.test')
  t.after(() => corp.remove())
  return corp
}

async function endpoint(t: TestContext) {
  const server = await EndpointServer.create()
  await server.start()
  t.after(() => server.remove())
  return server
}

test('the own SVID: followed as it rotates; taken away, it is a fault until it is back', async (t) => {
  const here = await place(t)
  const server = await endpoint(t)
  const corp = await makeCorp(t)
  const say = async () => server.say({ x509: { svids: [(await corp.svid('/broker')).message] } })
  await say()
  const certificate = await here.open({ kind: 'workload_api', socket: server.socket })
  const first = serialOf(certificate.current().cert)
  const changes: (() => void)[] = []
  certificate.onChange(() => changes.shift()?.())
  const change = () => new Promise<void>((resolve) => changes.push(resolve))

  const rotated = change()
  await say()
  await rotated
  assert.notEqual(serialOf(certificate.current().cert), first)
  assert.equal(certificate.fault(Date.now() / 1000), undefined)

  server.say({ x509: { code: 7, details: 'no identity issued' } })
  while (certificate.fault(Date.now() / 1000) === undefined) await sleep(5)
  assert.match(certificate.fault(Date.now() / 1000) ?? '', /was taken away/)
  const back = change()
  await say()
  await back
  assert.equal(certificate.fault(Date.now() / 1000), undefined)
})

test('an SVID that comes while the broker starts is waited for', async (t) => {
  const here = await place(t)
  const server = await endpoint(t)
  server.say({ x509: { code: 7, details: 'no identity issued' } })
  const opening = here.open({ kind: 'workload_api', socket: server.socket })
  await sleep(300)
  const corp = await makeCorp(t)
  server.say({ x509: { svids: [(await corp.svid('/broker')).message] } })
  assert.ok((await opening).current().cert)
})

test('a socket that is none is the configuration’s fault', async (t) => {
  const here = await place(t)
  await assert.rejects(here.open({ kind: 'workload_api', socket: '/run/agent.sock' }), {
    code: 'configuration',
    message: /write unix:\/\/\/run\/agent\.sock/,
  })
})
