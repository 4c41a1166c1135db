/** Every file in config/ loads as it is. */
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadCatalogue } from '../../src/catalogue/catalogue.ts'
import { loadConfig } from '../../src/config/config.ts'
import { openPolicies } from '../../src/policy/engine.ts'
import { ROOT } from './pages.ts'

const found = globSync('config/**/*.*', { cwd: ROOT })
const files = found.sort().map((path) => join(ROOT, path))
const ofKind = (extension: string) => files.filter((file) => file.endsWith(extension))

test('every file in config/ is of a kind that is checked here', () => {
  const known = [...ofKind('.yaml'), ...ofKind('.json'), ...ofKind('.cedar')]
  assert.deepEqual(known.sort(), files)
})

for (const file of ofKind('.yaml')) {
  test(`${file.slice(ROOT.length)} loads, and the files of config/ that it names are there`, async () => {
    const { policies, servers } = await loadConfig({ file, env: {} })
    const named = [policies, ...servers.map((server) => server.file)]
    for (const path of named.filter((each) => each.startsWith('config/'))) {
      await access(join(ROOT, path))
    }
  })
}

test('the catalogues load, and the policies are valid against them', async () => {
  const servers = await Promise.all(
    ofKind('.json').map(async (file) => {
      const { resource } = JSON.parse(await readFile(file, 'utf8')) as { resource: string }
      return { resource, file }
    }),
  )
  const catalogue = await loadCatalogue(servers)
  assert.equal(catalogue.servers.size, servers.length)
  const directory = join(ROOT, 'config', 'policies')
  assert.ok(ofKind('.cedar').every((file) => file.startsWith(directory)))
  const policies = await openPolicies({ directory, catalogue, pollMs: 0 })
  await policies.close()
})
