import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CORPORA } from './corpora.ts'

const folder =
  process.env.CORPORA_FOLDER ?? fileURLToPath(new URL('../../../shared/corpora', import.meta.url))

for (const [index, [file, run]] of CORPORA.entries()) {
  const skip = existsSync(join(folder, file))
    ? false
    : `${file} is not here: name its folder with CORPORA_FOLDER=<folder>`
  const again = CORPORA.findIndex(([other]) => other === file) < index ? ' over http' : ''
  test(`${file}${again}: nothing is accepted that had to be refused`, { skip }, async () => {
    const { total, right, wrongAccepts, wrongRejects } = await run(folder)
    assert.deepEqual(wrongAccepts, [])
    assert.ok(total > 0, 'no case was run')
    assert.equal(right + wrongRejects.length, total)
    for (const { id, reason } of wrongRejects) assert.ok(reason !== '', `${id} has no reason`)
  })
}
