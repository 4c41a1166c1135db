import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Bundles, openBundles } from '../../src/identity/bundles/bundles.ts'
import { createX509SvidProver } from '../../src/identity/x509/x509-svid.ts'
import { fetchX509Svid } from './api.ts'
import { buildSpire } from './build.ts'
import { makeRoot, makeWebCertificate } from './certificates.ts'
import { run } from './child.ts'
import { ownProgram, type Spire, type SpireOptions, startSpire } from './spire.ts'

const LOOPBACK = ['127.0.0.0/8']
const WORKLOAD = '/agents/report-bot'

interface Domain {
  readonly name: string
  readonly options: (directory: string) => Promise<Partial<SpireOptions>>
  /** How many certificates a workload gets. */
  readonly chain: number
}

const DOMAINS: readonly Domain[] = [
  { name: 'ec.test', options: async () => ({}), chain: 1 },
  { name: 'rsa.test', options: async () => ({ keyType: 'rsa-2048' }), chain: 1 },
  {
    name: 'below.test',
    options: async (directory) => ({ upstream: await makeRoot(directory, 'below.test') }),
    chain: 2,
  },
  {
    name: 'web.test',
    options: async (directory) => ({ endpoint: await makeWebCertificate(directory) }),
    chain: 1,
  },
]

let root: string
const running = new Map<string, Spire>()
const programs = new Map<string, string>()
const svids = new Map<string, string[]>()
const opened: Bundles[] = []

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'writ-spire-'))
  for (const { name, options } of DOMAINS) {
    const directory = join(root, name)
    await mkdir(directory)
    const spire = await startSpire({ trustDomain: name, directory, ...(await options(directory)) })
    running.set(name, spire)
    const program = await ownProgram(buildSpire().agent, join(directory, 'bot'))
    programs.set(name, program)
    await spire.register({ path: WORKLOAD, program })
    await spire.startAgent()
  }
  for (const { name } of DOMAINS)
    svids.set(
      name,
      await fetchX509Svid(programs.get(name)!, running.get(name)!.socket, join(root, name)),
    )
})

after(async () => {
  for (const bundles of opened) bundles.close()
  for (const spire of running.values()) await spire.stop()
  await rm(root, { recursive: true, force: true })
})

for (const { name, chain } of DOMAINS) {
  test(`an X.509-SVID of ${name} proves its workload by the domain's bundle file`, async () => {
    const file = join(root, `${name}.json`)
    await writeFile(file, await running.get(name)!.bundle())
    const prover = createX509SvidProver({ bundles: await open([{ trustDomain: name, file }]) })
    const presented = svids.get(name)!.map((pem) => new X509Certificate(pem).raw)
    assert.equal(presented.length, chain)
    const workload = prover.prove(presented, Date.now() / 1000)
    assert.equal(workload.id, `spiffe://${name}${WORKLOAD}`)
    assert.equal(workload.issuer, name)
    await assertOpenSslAgrees(name)
  })
}

test('an X.509-SVID of one domain proves nothing by the bundle of another', async () => {
  const [one, other] = ['ec.test', 'rsa.test'] as const
  const file = join(root, 'swapped.json')
  await writeFile(file, await running.get(other)!.bundle())
  const prover = createX509SvidProver({ bundles: await open([{ trustDomain: one, file }]) })
  const presented = svids.get(one)!.map((pem) => new X509Certificate(pem).raw)
  assert.throws(() => prover.prove(presented, Date.now() / 1000), {
    reason: { code: 'identity_invalid', check: 'chain' },
  })
})

for (const name of ['ec.test', 'rsa.test', 'below.test']) {
  test(`the bundle of ${name} is fetched from a SPIRE server that proves itself by its SVID`, async () => {
    const { endpoint, bundle } = running.get(name)!
    const bootstrapFile = join(root, `${name}.bootstrap.json`)
    await writeFile(bootstrapFile, await bundle())
    const bundles = await open([
      {
        trustDomain: name,
        endpoint: { ...endpoint, profile: 'https_spiffe', bootstrapFile },
        allowAddresses: LOOPBACK,
      },
    ])
    assertProves(bundles, name)
  })
}

test('a SPIRE server that proves another SPIFFE ID gives no bundle', async () => {
  const { endpoint, bundle } = running.get('ec.test')!
  const bootstrapFile = join(root, 'other-id.json')
  await writeFile(bootstrapFile, await bundle())
  const problems: string[] = []
  const bundles = await openBundles(
    [
      {
        trustDomain: 'ec.test',
        endpoint: {
          url: endpoint.url,
          profile: 'https_spiffe',
          spiffeId: 'spiffe://ec.test/bundles',
          bootstrapFile,
        },
        allowAddresses: LOOPBACK,
      },
    ],
    { onProblem: (problem) => problems.push(JSON.stringify(problem)) },
  )
  opened.push(bundles)
  assert.deepEqual(bundles.x509Authorities('ec.test'), [])
  assert.ok(problems.length > 0)
})

test('the bundle of web.test is fetched from a SPIRE server with a certificate of the web', async () => {
  const { endpoint } = running.get('web.test')!
  const bundles = await open([
    {
      trustDomain: 'web.test',
      endpoint: { url: endpoint.url, profile: 'https_web' },
      caFile: join(root, 'web.test', 'web.pem'),
      allowAddresses: LOOPBACK,
    },
  ])
  assertProves(bundles, 'web.test')
})

async function open(sources: Parameters<typeof openBundles>[0]): Promise<Bundles> {
  const onProblem = (problem: object) => assert.fail(JSON.stringify(problem))
  const bundles = await openBundles(sources, { onProblem })
  opened.push(bundles)
  return bundles
}

function assertProves(bundles: Bundles, name: string): void {
  const presented = svids.get(name)!.map((pem) => new X509Certificate(pem).raw)
  const { id } = createX509SvidProver({ bundles }).prove(presented, Date.now() / 1000)
  assert.equal(id, `spiffe://${name}${WORKLOAD}`)
}

async function assertOpenSslAgrees(name: string): Promise<void> {
  const directory = join(root, name)
  const [anchors, leaf] = [join(directory, 'bundle.0.pem'), join(directory, 'svid.0.pem')]
  // A CA file that holds more than one certificate: the first of `leaf` is what is checked.
  await run('openssl', ['verify', '-x509_strict', '-CAfile', anchors, '-untrusted', leaf, leaf])
}
