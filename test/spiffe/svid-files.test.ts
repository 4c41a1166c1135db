import assert from 'node:assert/strict'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import type { SpiffeError } from '../../src/spiffe/error.ts'
import { createSpiffeFetch } from '../../src/spiffe/fetch.ts'
import { openSvidFiles, type SvidFiles } from '../../src/spiffe/svid-files.ts'
import { type Domain, makeDomain, type Svid, until } from './domains.ts'
import { serveHttps } from './tls-servers.ts'

let corp: Domain
let other: Domain
let directory: string
let files: SvidFiles | undefined
const problems: SpiffeError[] = []

before(async () => {
  corp = await makeDomain('corp.test')
  other = await makeDomain('other.test')
})
after(async () => {
  await corp.remove()
  await other.remove()
})
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-files-'))
  problems.length = 0
})
afterEach(async () => {
  files?.close()
  await rm(directory, { recursive: true, force: true })
})

const at = (name: string) => join(directory, name)

async function put(name: string, text: string | Uint8Array): Promise<void> {
  await writeFile(at(`${name}.new`), text)
  await rename(at(`${name}.new`), at(name))
}

async function putSvid({ cert, key }: Pick<Svid, 'cert' | 'key'>): Promise<void> {
  await put('svid.pem', cert)
  await put('svid.key', key)
}

async function openFiles(): Promise<SvidFiles> {
  files = await openSvidFiles({
    certificateFile: at('svid.pem'),
    keyFile: at('svid.key'),
    bundles: [
      { trustDomain: 'corp.test', file: at('corp.json') },
      { trustDomain: 'other.test', file: at('other.pem') },
    ],
    pollMs: 10,
    onProblem: (error) => problems.push(error),
  })
  return files
}

async function putAll(): Promise<void> {
  await putSvid(await corp.svid('/agent'))
  await put('corp.json', await readFile(corp.development.bundleFile))
  await put('other.pem', other.caPem)
}

test('an identity and bundles come out of files, and prove a peer', async () => {
  await putAll()
  const source = await openFiles()
  const { svids, federated } = await source.x509()
  assert.equal(svids[0]?.spiffeId, 'spiffe://corp.test/agent')
  assert.deepEqual(svids[0]?.authorities, [corp.caDer])
  assert.deepEqual([...federated], [['other.test', [other.caDer]]])

  const { url, close } = await serveHttps(await other.svid('/server'), (_request, response) =>
    response.end('ok'),
  )
  const peer = { spiffeId: 'spiffe://other.test/server' }
  const fetch = createSpiffeFetch({ source, peer })
  assert.equal(await (await fetch(url)).text(), 'ok')
  await fetch.close()
  await close()
})

test('files are read again when they change, and only what fits together is used', async () => {
  await putAll()
  const opened = await openFiles()
  // Told again of what is the same is no fault, on a machine where files change slowly.
  const seen = new Set<string | undefined>()
  let federated: readonly Uint8Array[] | undefined
  opened.onX509((context) => {
    seen.add(context?.svids[0]?.spiffeId)
    federated = context?.federated.get('other.test')
  })
  const next = await corp.svid('/next')
  await put('svid.pem', next.cert)
  await until(() => problems.length > 0)
  assert.match(problems[0]?.message ?? '', /does not fit/)
  assert.equal((await opened.x509()).svids[0]?.spiffeId, 'spiffe://corp.test/agent')
  await put('svid.key', next.key)
  await until(() => seen.size > 1)
  assert.deepEqual([...seen], ['spiffe://corp.test/agent', 'spiffe://corp.test/next'])
  assert.equal((await opened.x509()).svids[0]?.spiffeId, 'spiffe://corp.test/next')

  await put('other.pem', corp.caPem)
  await until(() => federated?.[0] !== undefined && Buffer.compare(federated[0], corp.caDer) === 0)
  assert.deepEqual((await opened.x509()).federated.get('other.test'), [corp.caDer])
})

test('files that cannot be used are refused by name at the start', async () => {
  const expired = await corp.svid('/agent', 60, Date.now() / 1000 - 3600)
  const stranger = await other.svid('/agent')
  const cases = [
    ['svid.pem', 'nothing here', /svid\.pem has no certificate in PEM/],
    ['svid.key', 'nothing here', /svid\.key has no unencrypted private key/],
    ['svid.key', stranger.key, /does not fit its certificate/],
    ['svid.pem', expired.cert, /expired/],
    ['corp.json', '{"keys":[]}', /not valid \(chain\)/],
    ['corp.json', '{"keys":1}', /corp\.json is no SPIFFE bundle/],
    ['other.pem', '', /other\.pem has no certificate/],
    ['other.pem', 'x'.repeat(2_000_000), /other\.pem cannot be read \(it is too large/],
  ] as const
  for (const [name, text, words] of cases) {
    await putAll()
    await put(name, text)
    await assert.rejects(openFiles(), words, `${name}: ${words}`)
  }
  await putAll()
  await rm(at('svid.key'))
  await assert.rejects(openFiles(), /svid\.key cannot be read \(ENOENT\)/)
})

test('a trust domain is named once, by its name', async () => {
  await putAll()
  const file = at('corp.json')
  for (const names of [['corp.test', 'corp.test'], ['spiffe://corp.test']]) {
    const bundles = names.map((trustDomain) => ({ trustDomain, file }))
    await assert.rejects(
      openSvidFiles({ certificateFile: at('svid.pem'), keyFile: at('svid.key'), bundles }),
      TypeError,
    )
  }
})
