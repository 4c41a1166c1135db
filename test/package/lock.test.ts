/** `npm ci` refuses a lock file that leaves out a package, also one for a platform that is not this one. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from './packed.ts'

interface Locked {
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

test('the lock file has every package that another in it names, for every platform', async () => {
  const { packages } = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  /** Where Node would find `name` from `path`: beside it, or in a folder above. */
  const found = (path: string, name: string): boolean => {
    for (let folder = path; ; folder = folder.replace(/\/?(?:node_modules\/)?[^/]+$/, '')) {
      const inside = folder === '' ? '' : `${folder}/`
      if (packages[`${inside}node_modules/${name}`] !== undefined) return true
      if (folder === '') return false
    }
  }
  const missing: string[] = []
  for (const [path, { dependencies, optionalDependencies }] of Object.entries(packages)) {
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      if (!found(path, name)) missing.push(`${name}, of ${path || 'the project'}`)
    }
  }
  assert.deepEqual(missing, [])
})
