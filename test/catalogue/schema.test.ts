import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Validator } from '@cfworker/json-schema'
import fc from 'fast-check'
import { compileArguments } from '../../src/catalogue/arguments.ts'
import { compileSchema } from '../../src/catalogue/schema/compile.ts'
import { TooCostly } from '../../src/catalogue/schema/run.ts'
import { SchemaError } from '../../src/catalogue/schema/schema-error.ts'
import type { Json, JsonObject } from '../../src/lib/json.ts'

const accepts = (schema: Json, value: Json) => compileSchema(schema).check(value) === undefined
const DRAFT_07 = 'http://json-schema.org/draft-07/schema#'

const REFUSED: readonly [string, Json, RegExp][] = [
  ['a remote reference', { $ref: 'https://example.com/schema' }, /never fetched/],
  ['a file as reference', { $ref: 'file:///etc/passwd' }, /never fetched/],
  ['a reference to nothing', { $ref: '#/$defs/a' }, /no schema/],
  ['an anchor that is not there', { $ref: '#a' }, /does not exist/],
  ['another dialect', { $schema: 'http://json-schema.org/draft-04/schema#' }, /not supported/],
  [
    'two schemas with one $id',
    { allOf: [{ $id: 'https://a.example/' }, { $id: 'https://a.example/' }] },
    /two schemas/,
  ],
  ['two equal anchors', { allOf: [{ $anchor: 'a' }, { $anchor: 'a' }] }, /two schemas/],
  ['a number as schema', { properties: { a: 1 } }, /must be an object/],
  ['a list of items in 2020-12', { items: [{}] }, /must be an object|prefixItems/],
  ['a type that does not exist', { type: 'text' }, /does not exist/],
  ['a negative length', { minLength: -1 }, /non-negative/],
  ['a multiple of zero', { multipleOf: 0 }, /greater than 0/],
  ['too deep nesting', JSON.parse(`${'{"not":'.repeat(60)}true${'}'.repeat(60)}`), /deeper/],
  ['too many subschemas', { allOf: Array.from({ length: 6000 }, () => ({})) }, /more than/],
  ['required that is no list', { required: 'a' }, /must list names/],
  ['a pattern that cannot be bounded', { pattern: '(a)\\1' }, /back-reference/],
  ['such a pattern for names', { patternProperties: { '(?=a)': true } }, /look-around/],
]
for (const [title, schema, words] of REFUSED) {
  test(`${title} is refused`, () => {
    assert.throws(
      () => compileSchema(schema),
      (error) => error instanceof SchemaError && words.test(error.message),
    )
  })
}

test('draft-07 is read as draft-07', () => {
  const cases: readonly [JsonObject, Json, boolean][] = [
    [{ items: [{ type: 'string' }], additionalItems: false }, ['a', 1], false],
    [{ items: [{ type: 'string' }] }, ['a', 1], true],
    [{ dependencies: { a: ['b'] } }, { a: 1 }, false],
    [{ dependencies: { a: { required: ['c'] } } }, { a: 1 }, false],
    [
      {
        definitions: { s: { type: 'string' } },
        properties: { a: { $ref: '#/definitions/s', minLength: 9 } },
      },
      { a: 'x' },
      true,
    ],
    [
      { definitions: { s: { $id: '#s', type: 'string' } }, properties: { a: { $ref: '#s' } } },
      { a: 1 },
      false,
    ],
    [{ contains: { type: 'string' }, minContains: 2 }, ['a'], true],
    [{ unevaluatedProperties: false }, { a: 1 }, true],
  ]
  for (const [schema, value, valid] of cases) {
    assert.equal(accepts({ $schema: DRAFT_07, ...schema }, value), valid, JSON.stringify(schema))
  }
})

test('undeclared members are refused wherever the schema names members', () => {
  const nested = { type: 'object', properties: { x: { type: 'string' } } }
  const cases: readonly [string, JsonObject, JsonObject, boolean][] = [
    ['at the root, nothing said', { type: 'object', properties: { a: {} } }, { b: 1 }, false],
    ['at the root without properties', { type: 'object' }, { b: 1 }, false],
    [
      'at the root, said to be open',
      { type: 'object', properties: { a: {} }, additionalProperties: true },
      { b: 1 },
      true,
    ],
    [
      'at the root, typed additions',
      { type: 'object', additionalProperties: { type: 'string' } },
      { b: 'x' },
      true,
    ],
    ['in a nested object', { type: 'object', properties: { a: nested } }, { a: { y: 1 } }, false],
    [
      'in an item',
      { type: 'object', properties: { a: { items: nested } } },
      { a: [{ x: 's' }, { y: 1 }] },
      false,
    ],
    [
      'in a free-form nested object',
      { type: 'object', properties: { a: { type: 'object' } } },
      { a: { y: 1 } },
      true,
    ],
    [
      'declared by allOf',
      { type: 'object', allOf: [{ properties: { a: {} } }, { properties: { b: {} } }] },
      { a: 1, b: 2 },
      true,
    ],
    [
      'declared by no branch of allOf',
      { type: 'object', allOf: [{ properties: { a: {} } }] },
      { c: 1 },
      false,
    ],
    [
      'declared by the branch that matches',
      {
        type: 'object',
        oneOf: [
          { properties: { k: { const: 1 }, a: {} }, required: ['k'] },
          { properties: { k: { const: 2 } }, required: ['k'] },
        ],
      },
      { k: 1, a: 1 },
      true,
    ],
    [
      'declared by the branch that does not match',
      {
        type: 'object',
        oneOf: [
          { properties: { k: { const: 1 }, a: {} }, required: ['k'] },
          { properties: { k: { const: 2 } }, required: ['k'] },
        ],
      },
      { k: 2, a: 1 },
      false,
    ],
    [
      'through a reference',
      { type: 'object', $defs: { n: nested }, properties: { a: { $ref: '#/$defs/n' } } },
      { a: { y: 1 } },
      false,
    ],
    ['by pattern', { type: 'object', patternProperties: { '^x-': {} } }, { 'x-a': 1 }, true],
    ['not by pattern', { type: 'object', patternProperties: { '^x-': {} } }, { y: 1 }, false],
    [
      'under a name of the prototype',
      { type: 'object', properties: { a: {} } },
      JSON.parse('{"__proto__":1}'),
      false,
    ],
    ['toString', { type: 'object', properties: { a: {} } }, { toString: 1 }, false],
  ]
  for (const [title, schema, value, valid] of cases) {
    assert.equal(compileArguments(schema, false).check(value) === undefined, valid, title)
    if (valid) assert.equal(compileArguments(schema, true).check(value), undefined, title)
  }
})

test('being closed never accepts what the schema refuses', () => {
  const nested = { type: 'object', properties: { x: {} } }
  const turning: readonly [JsonObject, JsonObject][] = [
    [
      { type: 'object', properties: { a: { not: { properties: { b: nested } } } } },
      { a: { b: { y: 1 } } },
    ],
    [
      {
        type: 'object',
        properties: { a: { type: 'object' } },
        oneOf: [{ properties: { a: nested } }, { required: ['a'] }],
      },
      { a: { y: 1 } },
    ],
    [
      {
        type: 'object',
        properties: {
          a: {
            type: 'object',
            ...(condition([{ properties: { b: nested } }, false, true]) as JsonObject),
          },
        },
      },
      { a: { b: { y: 1 } } },
    ],
    [
      {
        type: 'object',
        properties: { a: { contains: { properties: { b: nested } }, maxContains: 1 } },
      },
      { a: [{ b: { y: 1 } }, { b: { x: 1 } }] },
    ],
  ]
  for (const [schema, value] of turning) {
    assert.ok(compileArguments(schema, true).check(value), 'the schema itself refuses')
    assert.ok(compileArguments(schema, false).check(value), JSON.stringify(schema))
  }
})

test('a failure names the place and the rule, and never the value', () => {
  const schema = {
    type: 'object',
    properties: { 'a/b': { items: { type: 'string', maxLength: 3 } } },
  }
  const failure = compileArguments(schema, false).check({ 'a/b': ['ok', 'secret'] })
  assert.deepEqual(failure, { path: '/a~1b/1', detail: 'is longer than 3 characters' })
})

test('work is bounded, whatever the schema', () => {
  const everyWay = { anyOf: [{ $ref: '#' }, { $ref: '#' }] }
  const bombs: readonly [JsonObject, JsonObject][] = [
    [{ $ref: '#' }, {}],
    [
      { type: 'object', properties: { a: { ...everyWay, type: 'object' } }, required: ['a'] },
      deep(60),
    ],
    [
      {
        properties: {
          a: {
            uniqueItems: true,
            contains: { not: {} },
            items: { anyOf: Array(200).fill({ type: 'string' }) },
          },
        },
      },
      { a: Array.from({ length: 20_000 }, (_, i) => i) },
    ],
    [
      { properties: { a: { items: { allOf: Array(300).fill({ minimum: 0 }) } } } },
      { a: Array(20_000).fill(1) },
    ],
  ]
  for (const [schema, value] of bombs) {
    const check = compileSchema(schema)
    assert.throws(() => {
      if (check.check(value)) throw new TooCostly()
    }, TooCostly)
  }
})

test('a pattern that is slow for each character is not run over a long text', () => {
  const check = compileSchema({ pattern: '[ab]*a[ab]{900}[cd]' })
  assert.throws(() => check.check('ab'.repeat(200_000)), TooCostly)
  const names = compileSchema({ patternProperties: { '[ab]*a[ab]{900}[cd]': true } })
  assert.throws(() => names.check({ ['ab'.repeat(200_000)]: 1 }), TooCostly)
})

test('large honest arguments fit into the bound', () => {
  const schema = {
    type: 'object',
    properties: {
      rows: {
        items: {
          type: 'object',
          properties: { id: { type: 'integer' }, text: { type: 'string', pattern: '^[a-z ]*$' } },
        },
      },
      blob: { type: 'string' },
    },
  }
  const rows = Array.from({ length: 20_000 }, (_, id) => ({ id, text: 'some words here' }))
  assert.equal(
    compileArguments(schema, false).check({ rows, blob: 'x'.repeat(900_000) }),
    undefined,
  )
})

function deep(levels: number): JsonObject {
  return levels === 0 ? {} : { a: deep(levels - 1) }
}

function condition([test, yes, no]: [Json, Json, Json]): Json {
  return Object.fromEntries([
    ['if', test],
    ['then', yes],
    ['else', no],
  ])
}

/**
 * Keywords on which two implementations that share nothing must agree. Not `unevaluatedProperties`: the
 * other one lets it see into cousins (Core §11.3), which the official suite forbids and does not catch.
 */
test('random schemas are read as another implementation reads them', () => {
  const leaf = fc.oneof(
    fc.constantFrom<JsonObject>(
      {},
      { type: 'string' },
      { type: 'integer' },
      { type: ['null', 'number'] },
      { const: 1 },
      { enum: ['a', 1, null] },
      { minLength: 2 },
      { maximum: 1 },
      { multipleOf: 0.5 },
      { pattern: '^a' },
    ),
    fc.constantFrom<Json>(true, false),
  )
  const { schema } = fc.letrec<{ schema: Json }>((tie) => ({
    schema: fc.oneof(
      { depthSize: 'small', maxDepth: 4 },
      leaf,
      fc.record({
        properties: fc.dictionary(fc.constantFrom('a', 'b'), tie('schema')),
        required: fc.subarray(['a', 'b']),
      }),
      fc.record({
        additionalProperties: tie('schema'),
        patternProperties: fc.dictionary(fc.constantFrom('^a', 'b$'), tie('schema')),
      }),
      fc.record({
        prefixItems: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }),
        items: tie('schema'),
      }),
      fc.record({
        contains: tie('schema'),
        minContains: fc.constantFrom(0, 1, 2),
        uniqueItems: fc.boolean(),
      }),
      fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ oneOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
      fc.record({
        allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }),
      }),
      fc.record({ not: tie('schema') }),
      fc.tuple(tie('schema'), tie('schema'), tie('schema')).map(condition),
    ),
  })) as { schema: fc.Arbitrary<Json> }
  const { value } = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', maxDepth: 3 },
      fc.constantFrom<Json>(null, true, 0, 1, 1.5, 2, '', 'a', 'ab', 'b'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom('a', 'b', 'ab', 'c'), tie('value'), {
        maxKeys: 3,
        noNullPrototype: true,
      }),
    ),
  })) as { value: fc.Arbitrary<Json> }
  fc.assert(
    fc.property(schema, value, (theSchema, theValue) => {
      const theirs = new Validator(theSchema as never, '2020-12').validate(theValue).valid
      assert.equal(accepts(theSchema, theValue), theirs)
    }),
    { numRuns: 4000 },
  )
})
