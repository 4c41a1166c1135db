import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeBase64url, encodeBase64url } from '../../src/lib/base64url.ts'

const CANONICAL: readonly [string, string][] = [
  ['', ''],
  ['f', 'Zg'],
  ['fo', 'Zm8'],
  ['foo', 'Zm9v'],
  ['é😀', 'w6nwn5iA'],
  ['\xff\xfe', 'w7_Dvg'],
]

for (const [text, encoded] of CANONICAL) {
  test(`one spelling: ${JSON.stringify(text)} is ${JSON.stringify(encoded)}`, () => {
    assert.equal(encodeBase64url(text), encoded)
    assert.equal(encodeBase64url(Buffer.from(text)), encoded)
    assert.deepEqual(decodeBase64url(encoded), Buffer.from(text))
  })
}

const OTHER_SPELLINGS = [
  ...['Zg==', 'Zg=', 'Zh', 'Zm9', 'Z', 'Zg ', ' Zg', 'Z g', 'Zg\n', 'Zg\t', 'Zm9v=', 'w7/Dvg'],
  ...['w7+Dvg', 'Zg.', 'Zg\0', 'Zgé', '====', 'Zｇ'],
]

for (const text of OTHER_SPELLINGS) {
  test(`any other spelling is refused: ${JSON.stringify(text)}`, () => {
    assert.equal(decodeBase64url(text), undefined)
  })
}

test('a part of a larger buffer is encoded as that part', () => {
  assert.equal(encodeBase64url(Buffer.from('xfoox').subarray(1, 4)), 'Zm9v')
})

test('bytes survive, and no two texts decode to the same bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.deepEqual(decodeBase64url(encodeBase64url(bytes)), Buffer.from(bytes))
    }),
  )
  fc.assert(
    fc.property(fc.string(), (text) => {
      const bytes = decodeBase64url(text)
      if (bytes !== undefined) assert.equal(encodeBase64url(bytes), text)
    }),
  )
})
