import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openAuditLog } from '../../src/audit/file.ts'
import { createDevelopmentDomain } from '../../src/identity/development.ts'
import { makeDirectory } from '../../src/lib/make-directory.ts'
import { newKeys } from '../../src/mint/keys.ts'

const place = await mkdtemp(join(tmpdir(), 'writ-lib-'))
after(() => rm(place, { recursive: true, force: true }))
const modeOf = async (...names: string[]) => (await stat(join(place, ...names))).mode & 0o777

test('all that is missing is made with the mode; what is there stays as it is', async () => {
  await mkdir(join(place, 'there'), { mode: 0o755 })
  const deep = join(place, 'there', 'a', 'b', 'c')
  // Several at once, as processes that start together.
  await Promise.all([1, 2, 3].map(() => makeDirectory(deep, 0o700)))
  await makeDirectory(deep, 0o750)
  assert.equal(await modeOf('there'), 0o755)
  for (const names of [['a'], ['a', 'b'], ['a', 'b', 'c']]) {
    assert.equal(await modeOf('there', ...names), 0o700)
  }
})

test('a file in the way is an error', async () => {
  await writeFile(join(place, 'file'), '')
  await assert.rejects(makeDirectory(join(place, 'file'), 0o700), { code: 'EEXIST' })
  await assert.rejects(makeDirectory(join(place, 'file', 'in'), 0o700), { code: 'ENOTDIR' })
})

/** Of what is beneath it the system says that it does not exist, however often it is made. */
const nowhere = '/proc/nowhere/at/all'
const makers: Record<string, () => Promise<unknown>> = {
  'a directory': () => makeDirectory(nowhere, 0o700),
  'signing keys': () => newKeys(nowhere, 'ES256', 1),
  'a development domain': () =>
    createDevelopmentDomain({ directory: nowhere, trustDomain: 'corp.test' }),
  'an audit log': () => openAuditLog({ directory: nowhere, origin: 'x' }),
}
for (const [what, make] of Object.entries(makers)) {
  test(`${what} where nothing can be made is an error, and not waited for without end`, {
    skip: process.platform !== 'linux' && 'needs /proc',
  }, async () => {
    await assert.rejects(make, { code: 'ENOENT' })
  })
}
