import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Json } from '../../src/lib/json.ts'
import { JsonParser } from '../../src/lib/json-parser.ts'
import { parsePlain } from '../../src/lib/json-plain.ts'

const DEPTH = 8

/** What the strict parser says of a text; `undefined` when it refuses. */
function strict(text: string): { value: Json } | undefined {
  try {
    return { value: new JsonParser(text, DEPTH).whole() }
  } catch {
    return undefined
  }
}

function agrees(text: string): void {
  const plain = parsePlain(text, DEPTH)
  if (plain !== undefined) assert.deepEqual({ value: plain }, strict(text), text)
}

const REFUSED_OR_SLOW = [
  '{"a":1,"a":1}',
  '{"a":1,"\\u0061":1}',
  '{"a":{"b":1,"b":2}}',
  '9007199254740993',
  '9007199254740992',
  '[-9007199254740994]',
  '1e400',
  '-0',
  '1.0',
  '1e2',
  '"\\ud800"',
  '["\\udc00\\ud800"]',
  '{"\\ud800":1}',
  '{"a": 1}',
  ' 1',
  '1 2',
  '',
  '[1,]',
  `${'['.repeat(DEPTH + 1)}${']'.repeat(DEPTH + 1)}`,
  `${'['.repeat(60_000)}`,
  `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
]

test('what strict reading refuses or reads otherwise is left to it', () => {
  for (const text of REFUSED_OR_SLOW) assert.equal(parsePlain(text, DEPTH), undefined, text)
})

test('what programs write with JSON.stringify is read at once', () => {
  const texts = [
    '{"__proto__":{"a":1}}',
    '{"a":"\\n","b":[1.5,null,true,{}]}',
    '"é"',
    '{"toJSON":1}',
  ]
  for (const text of [...texts, `${'['.repeat(DEPTH)}${']'.repeat(DEPTH)}`]) {
    assert.notEqual(parsePlain(text, DEPTH), undefined, text)
    agrees(text)
  }
})

test('no text has one value here and another, or none, when read strictly', () => {
  fc.assert(fc.property(fc.json({ maxDepth: DEPTH + 2 }), agrees), { numRuns: 500 })
  // Pieces that make faults, in any order.
  const piece = fc.constantFrom(
    ...['{', '}', '[', ']', ',', ':', '"a"', '"b"', '"\\u0061"', '"\\ud83d"', '"\\"', ' '],
    ...[
      '-',
      '0',
      '1',
      '9007199254740992',
      '1e21',
      '1e+21',
      '0.1',
      '.5',
      'null',
      'tru',
      '"__proto__":',
    ],
    ...['{"a":1,', '"a":2}', '{"1":0,"0":1}'],
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => agrees(pieces.join(''))),
    { numRuns: 3000 },
  )
})
