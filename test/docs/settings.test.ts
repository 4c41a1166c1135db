/** The settings that pages show are settings: each block loads, with no more around it than must be. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config/config.ts'
import { schemaTree } from '../../src/config/schema.ts'
import { blocksOf, readPages } from './pages.ts'

const directory = await mkdtemp(join(tmpdir(), 'writ-settings-'))
after(() => rm(directory, { recursive: true }))
const jwks = join(directory, 'client.json')
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
await writeFile(jwks, JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }))

const AROUND = {
  issuer: 'https://broker.example',
  trust: [{ spiffe: 'corp.example', bundle: { file: 'bundle.json' } }],
  servers: [{ resource: 'https://mcp.example/mcp', catalogue: 'mcp.json' }],
  policies: 'policies',
}
const KNOWN = new Set(Object.keys(schemaTree.properties ?? {}))

const blocks = (await readPages()).flatMap((page) =>
  blocksOf(page)
    .filter(({ language }) => language === 'yaml')
    .map((block) => ({ ...block, path: page.path, value: parse(block.code) as object })),
)
const settings = blocks.filter(({ value }) => Object.keys(value).some((key) => KNOWN.has(key)))

for (const { path, line, value } of settings) {
  test(`the settings of ${path}:${line} load`, async () => {
    const text = JSON.stringify({ ...AROUND, ...value })
    const file = join(directory, 'writ.yaml')
    await writeFile(file, text.replaceAll(/keys\/clients\/[a-z-]+\.json/g, jwks))
    await loadConfig({ file, env: {} })
  })
}

test('docs/identities.md shows how to trust each kind, and what else there is to set', () => {
  const shown = settings
    .filter(({ path }) => path === 'docs/identities.md')
    .map(({ value }) => value)
  const entries = shown.flatMap((value) => ('trust' in value ? (value.trust as object[]) : []))
  const kinds = new Set(entries.flatMap((entry) => Object.keys(entry)))
  for (const kind of ['spiffe', 'kubernetes', 'github', 'oidc', 'users'])
    assert.ok(kinds.has(kind), kind)
  const keys = new Set(shown.flatMap((value) => Object.keys(value)))
  for (const key of ['mtls', 'proxies', 'clients', 'delegation']) assert.ok(keys.has(key), key)
})

test('other YAML on a page is for Kubernetes or GitHub, whole and of the right audience', () => {
  const others = blocks.filter((block) => !settings.includes(block))
  for (const { path, line, value } of others) {
    assert.ok('apiVersion' in value || 'jobs' in value, `${path}:${line}`)
  }
  const text = JSON.stringify(others.map(({ value }) => value))
  assert.match(text, /"serviceAccountToken":\{"audience":"https:\/\/broker\.example"/)
  assert.match(text, /"permissions":\{"id-token":"write"\}/)
})
