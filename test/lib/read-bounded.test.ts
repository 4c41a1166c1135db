import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readBounded } from '../../src/lib/read-bounded.ts'

/** A body of these chunks, which counts what was taken from it. */
function bodyOf(chunks: readonly string[], end: 'close' | 'break' = 'close') {
  const seen = { pulled: 0, cancelled: false }
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = chunks[seen.pulled]
        if (chunk !== undefined) {
          seen.pulled++
          controller.enqueue(Buffer.from(chunk))
        } else if (end === 'close') controller.close()
        else controller.error(new Error('broken off'))
      },
      cancel() {
        seen.cancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return { body, seen }
}

const read = async (body: ReadableStream<Uint8Array> | null, maxBytes: number) =>
  Buffer.from(await readBounded(body, maxBytes)).toString()

test('a body within the limit is read whole, also one of exactly the limit', async () => {
  assert.equal(await read(bodyOf(['ab', '', 'cd']).body, 10), 'abcd')
  assert.equal(await read(bodyOf(['ab', 'cd']).body, 4), 'abcd')
  assert.equal(await read(bodyOf([]).body, 4), '')
  assert.equal(await read(null, 4), '')
})

test('of a longer one the limit and one byte are read, and the rest is let go of', async () => {
  const { body, seen } = bodyOf(['ab', 'cdef', 'gh', 'ij'])
  assert.equal(await read(body, 4), 'abcde')
  assert.deepEqual(seen, { pulled: 2, cancelled: true })
})

test('a body that breaks off is an error, and never half a body', async () => {
  await assert.rejects(readBounded(bodyOf(['ab'], 'break').body, 4), /broken off/)
})
