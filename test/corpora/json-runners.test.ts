/** The JSON runners call a wrong answer wrong, so that what they say of a corpus can be believed. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { run as runJcs } from './jcs.ts'
import { run as runJson } from './json.ts'

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

async function runOn(run: typeof runJson, file: string, cases: object[]) {
  const folder = await mkdtemp(join(tmpdir(), 'writ-corpus-'))
  try {
    await writeFile(join(folder, file), JSON.stringify({ cases }))
    return await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('the parser’s runner tells right, wrong accept and wrong reject apart', async () => {
  const result = await runOn(runJson, 'jsontestsuite.json', [
    { name: 'good', expect: 'accept', b64: base64('[-0]') },
    { name: 'bad', expect: 'reject', b64: base64('[1,]') },
    { name: 'open', expect: 'either', b64: base64('[1e400]') },
    { name: 'too lenient', expect: 'reject', b64: base64('[1]') },
    { name: 'too strict', expect: 'accept', b64: base64('{"a":1,"a":1}') },
  ])
  assert.equal(result.total, 5)
  assert.equal(result.right, 3)
  assert.deepEqual(result.wrongAccepts, ['too lenient'])
  assert.deepEqual(
    result.wrongRejects.map(({ id, reason }) => [id, reason.split(':')[0]]),
    [['too strict', 'duplicate']],
  )
})

test('the canonical form’s runner calls another text a wrong accept', async () => {
  const result = await runOn(runJcs, 'jcs-vectors.json', [
    { name: 'right', input_b64: base64('{"b":1,"a":2}'), output_b64: base64('{"a":2,"b":1}') },
    { name: 'other', input_b64: base64('[1.0]'), output_b64: base64('[1.0]') },
    { name: 'strict', input_b64: base64('9007199254740993'), output_b64: base64('9') },
    { name: 'refused', input_b64: base64('"\\ud800"') },
  ])
  assert.equal(result.right, 2)
  assert.deepEqual(result.wrongAccepts, ['other'])
  assert.deepEqual(
    result.wrongRejects.map(({ id }) => id),
    ['strict'],
  )
})
