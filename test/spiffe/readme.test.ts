import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const source = new URL('../../src/spiffe/', import.meta.url)

test('every error code is in the README, and every code of the README exists', () => {
  const readme = readFileSync(new URL('README.md', source), 'utf8')
  const code = readFileSync(new URL('error.ts', source), 'utf8')
  const union = code.slice(code.indexOf('SpiffeErrorCode ='), code.indexOf('/** An expected'))
  const defined = [...union.matchAll(/\| '(\w+)'/g)].map(([, name]) => name)
  const section = readme.slice(readme.indexOf('## Errors'), readme.indexOf('## Caches'))
  const documented = [...section.matchAll(/^\| `(\w+)` /gm)].map(([, name]) => name)
  assert.ok(defined.length > 5)
  assert.deepEqual(documented, defined)
})
