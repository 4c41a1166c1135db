import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ContinuationInput } from '../../src/action/action.ts'
import {
  canonicalText,
  equalHash,
  hashArguments,
  hashDefinition,
  hashInput,
  isHash,
} from '../../src/action/hash.ts'
import { type Json, JsonError, type JsonObject, parseJson } from '../../src/lib/json.ts'
import { hashVectors, received } from './vectors.ts'

const HASHES: readonly [keyof typeof hashVectors, (json: Json) => string][] = [
  ['arguments', (json) => hashArguments(json as JsonObject)],
  ['definitions', (json) => hashDefinition(json as JsonObject)],
  ['inputs', (json) => hashInput(json as ContinuationInput)],
]

for (const [kind, hash] of HASHES) {
  for (const vector of hashVectors[kind]) {
    test(`hash of ${kind}: ${vector.name}`, () => {
      assert.equal(hash(parseJson(received(vector))), (vector as { hash: string }).hash)
    })
  }
}

for (const vector of hashVectors.arguments) {
  test(`the text that is hashed is a fixed point: ${vector.name}`, () => {
    assert.equal(canonicalText(parseJson(vector.json)), vector.canonical)
    assert.equal(canonicalText(parseJson(vector.canonical)), vector.canonical)
  })
}

for (const vector of hashVectors.refused) {
  test(`nothing is hashed from a text with ${vector.name}`, () => {
    assert.throws(() => parseJson(received(vector)), JsonError)
  })
}

test('the hashes on the public page are right', () => {
  const page = readFileSync(new URL('../../docs/mcp-action.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/`(\{[^`]*\})` *\| `([A-Za-z0-9_-]{43})` *\|/g)]
  assert.equal(rows.length, 3)
  for (const [, canonical = '', hash] of rows) {
    assert.equal(hashArguments(parseJson(canonical) as JsonObject), hash)
    assert.equal(canonicalText(parseJson(canonical)), canonical)
  }
  const example = { to: 'GB29NWBK60161331926819', amount: 1200 }
  assert.ok(page.includes(`"arguments_hash": "${hashArguments(example)}"`))
})

test('absent arguments have the hash of {}', () => {
  assert.equal(hashArguments(undefined), hashArguments({}))
  assert.equal(hashArguments({}), 'RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o')
})

test('what cannot be JSON has no canonical text', () => {
  for (const value of [undefined, () => 1, Symbol('a')]) {
    assert.throws(() => canonicalText(value as unknown as Json), TypeError)
  }
  const values = [1n, Number.NaN, Infinity, '\ud800', { '\udc00': 1 }]
  for (const value of values) {
    assert.throws(() => canonicalText(value as unknown as Json), TypeError)
    assert.throws(() => canonicalText([{ a: value as unknown as Json }]), TypeError)
  }
})

test('a hash has one spelling, and equal means equal', () => {
  const hash = hashArguments({})
  assert.ok(isHash(hash))
  const other = [
    `${hash}=`,
    hash.slice(1),
    `${hash.slice(0, -1)}p`,
    `+${hash.slice(1)}`,
    '',
    null,
    1,
  ]
  for (const text of other) assert.equal(isHash(text), false)
  assert.equal(equalHash(hash, hash), true)
  assert.equal(equalHash(hash, hashArguments({ a: 1 })), false)
  assert.equal(equalHash(hash, hash.slice(1)), false)
  assert.equal(equalHash(hash, `${hash}A`), false)
})

/** Any JSON value, `__proto__` and other hard names included; see `parseJson` for numbers. */
const name = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('__proto__', 'constructor', 'toJSON', '1', '10', '2', '\ufb33', '\u{1f600}'),
)
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'grapheme' }),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('json')),
    fc.array(fc.tuple(name, tie('json'))).map((members) => Object.fromEntries(members) as Json),
  ),
}))

function reordered(value: Json): Json {
  if (Array.isArray(value)) return value.map(reordered)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).map(([member, inner]) => [member, reordered(inner)])
  return Object.fromEntries(members.reverse())
}

test('the order of members never changes a hash', () => {
  fc.assert(
    fc.property(json, (value) => {
      assert.equal(hashArguments({ value: reordered(value) }), hashArguments({ value }))
    }),
  )
})

test('canonical text of what was parsed parses to the same', () => {
  fc.assert(
    fc.property(json, (value) => {
      let parsed: Json
      try {
        parsed = parseJson(JSON.stringify(value))
      } catch {
        return
      }
      const text = canonicalText(parsed)
      assert.deepEqual(parseJson(text), parsed)
      assert.equal(canonicalText(parseJson(text)), text)
    }),
  )
})

/** Every value that differs from `value` in one place. */
function* mutations(value: Json): Generator<Json> {
  yield [value]
  if (Array.isArray(value)) {
    yield [...value, null]
    if (value.length > 0) yield value.slice(1)
    for (const [i, item] of value.entries()) {
      for (const other of mutations(item)) yield value.with(i, other)
    }
  } else if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
    yield Object.fromEntries([...members, [`${members.map(([n]) => n).join('')}+`, null]])
    for (const [i, [member, inner]] of members.entries()) {
      yield Object.fromEntries(members.toSpliced(i, 1))
      for (const other of mutations(inner)) {
        yield Object.fromEntries(members.with(i, [member, other]))
      }
    }
  } else if (typeof value === 'string') {
    yield `${value} `
    yield null
  } else if (typeof value === 'boolean') {
    yield !value
    yield String(value)
  } else if (typeof value === 'number') {
    yield value === 0 ? 1 : -value
    yield String(value)
  } else yield 'null'
}

test('any change to the arguments changes the hash', () => {
  fc.assert(
    fc.property(fc.dictionary(name, json), (args) => {
      const hash = hashArguments(args)
      for (const other of mutations(args)) {
        assert.notEqual(hashArguments(other as JsonObject), hash)
      }
    }),
    { numRuns: 50 },
  )
})
