import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateSchema } from '@cedar-policy/mcp-schema-generator-wasm'
import fc from 'fast-check'
import { compileArguments } from '../../src/catalogue/arguments.ts'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { loadCedar } from '../../src/policy/cedar.ts'
import { cedarType, decimalText, project } from '../../src/policy/shape.ts'
import { shapeOfArguments } from '../../src/policy/shape-of.ts'

const cedar = loadCedar()

/** One argument `x` of this schema and value, as a policy sees it; `undefined` when it is absent. */
function seen(x: Json, value: Json, root: JsonObject = {}): unknown {
  const shape = shapeOfArguments({ type: 'object', properties: { x }, ...root })
  return (project(shape, { x: value }, '') as JsonObject).x
}

const decimal = (text: string, arg = text) => ({
  text,
  decimal: { __extn: { fn: 'decimal', arg } },
})
const MAPPINGS: readonly [string, Json, Json, unknown][] = [
  ['a string', { type: 'string' }, 'a', 'a'],
  ['an integer', { type: 'integer' }, 9007199254740991, 9007199254740991],
  ['a boolean', { type: 'boolean' }, false, false],
  ['a number that is whole', { type: 'number' }, 1200, decimal('1200', '1200.0')],
  ['a number with four decimals', { type: 'number' }, -0.0001, decimal('-0.0001')],
  ['a number with five', { type: 'number' }, 0.00001, { text: '0.00001' }],
  ['a number beyond decimals', { type: 'number' }, 1e300, { text: `1${'0'.repeat(300)}` }],
  ['null', { type: 'null' }, null, undefined],
  ['a string or null, null', { type: ['string', 'null'] }, null, undefined],
  ['a string or null, a string', { anyOf: [{ type: 'string' }, { type: 'null' }] }, 'a', 'a'],
  ['a string or an integer', { type: ['string', 'integer'] }, 7, { typeChoice1: 7 }],
  [
    'one of two objects',
    {
      oneOf: [
        { type: 'object', properties: { a: {} } },
        { type: 'object', properties: { b: {} } },
      ],
    },
    { b: 1 },
    { json: '{"b":1}' },
  ],
  ['values listed', { enum: ['a', 'b', null] }, 'b', 'b'],
  ['a constant', { const: 3 }, 3, 3],
  ['mixed values', { enum: ['a', 1] }, 1, { json: '1' }],
  ['a list', { type: 'array', items: { type: 'integer' } }, [2, 1], [2, 1]],
  [
    'a list with nulls',
    { type: 'array', items: { type: ['string', 'null'] } },
    ['a', null],
    [{ json: '"a"' }, { json: 'null' }],
  ],
  ['a list of anything', { type: 'array' }, [1], [{ json: '1' }]],
  [
    'an object',
    { type: 'object', properties: { a: { type: 'string' }, b: { type: 'null' } } },
    { a: 'x', b: null },
    { a: 'x' },
  ],
  [
    'an object of any members',
    { type: 'object', additionalProperties: { type: 'string' } },
    { k: 'v' },
    { json: '{"k":"v"}' },
  ],
  ['anything', {}, { b: [1.5], a: null }, { json: '{"a":null,"b":[1.5]}' }],
  ['true', true, 1, { json: '1' }],
  ['a reference', { $ref: '#/$defs/s' }, 'a', 'a'],
  ['a type in allOf', { allOf: [{ minLength: 1 }, { type: 'string' }] }, 'a', 'a'],
  [
    'properties without a type',
    { properties: { a: { type: 'string' } } },
    { a: 'x' },
    { json: '{"a":"x"}' },
  ],
]
for (const [title, schema, value, expected] of MAPPINGS) {
  test(`${title} is seen as ${JSON.stringify(expected)?.slice(0, 60) ?? 'absent'}`, () => {
    assert.deepEqual(seen(schema, value, { $defs: { s: { type: 'string' } } }), expected)
  })
}

test('draft-07 ignores what stands beside a reference', () => {
  const root = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    definitions: { n: { type: 'integer' } },
  }
  assert.equal(seen({ $ref: '#/definitions/n', type: 'string' }, 5, root), 5)
})

test('only what every accepted value has is required', () => {
  const shape = shapeOfArguments({
    type: 'object',
    properties: { a: { type: 'string' }, b: { type: ['string', 'null'] }, c: { type: 'string' } },
    required: ['a', 'b'],
    allOf: [{ properties: { d: { type: 'integer' } }, required: ['d'] }],
    anyOf: [{ properties: { e: { type: 'string' } }, required: ['e'] }, {}],
  })
  const required = [...shape.members].map(([name, member]) => `${name} ${member.required}`)
  assert.deepEqual(required, ['a true', 'b false', 'c false', 'd true', 'e false'])
})

test('decimal text is the number, digit for digit', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const text = decimalText(value)
      assert.match(text, /^-?\d+(\.\d+)?$/)
      assert.equal(Number(text), Object.is(value, -0) ? 0 : value)
    }),
  )
})

test('endless and very wide schemas have a shape too', () => {
  const wide = Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [`p${i}`, { anyOf: Array(30).fill({ $ref: '#' }) }]),
  )
  assert.ok(
    shapeOfArguments({ type: 'object', properties: wide, anyOf: Array(20).fill({ $ref: '#' }) }),
  )
})

/** Whether Cedar takes the value for the type: what makes validated policies safe to run. */
function fits(inputSchema: JsonObject, args: JsonObject): boolean {
  const shape = shapeOfArguments(inputSchema)
  const type = { type: 'Record', attributes: { input: { ...cedarType(shape), required: true } } }
  const schema = {
    '': {
      entityTypes: { P: {} },
      actions: { a: { appliesTo: { principalTypes: ['P'], resourceTypes: ['P'], context: type } } },
    },
  }
  const input = project(shape, args, '')
  const answer = cedar.checkParseContext({
    context: { input },
    schema: schema as never,
    action: { type: 'Action', id: 'a' },
  })
  if (answer.type === 'failure') assert.fail(JSON.stringify(answer.errors))
  return true
}

test('arguments that the schema accepts are always of the type that the policies were checked with', () => {
  const { schema } = fc.letrec<{ schema: JsonObject }>((tie) => ({
    schema: fc.oneof(
      { depthSize: 'small', maxDepth: 3 },
      fc.constantFrom<JsonObject>(
        { type: 'string' },
        { type: 'integer' },
        { type: 'number' },
        { type: 'boolean' },
        { type: ['string', 'null'] },
        { type: ['integer', 'string', 'null'] },
        { enum: ['a', 1] },
        { const: null },
        {},
      ),
      fc.record({ type: fc.constant('array'), items: tie('schema') }),
      fc.record({
        type: fc.constant('object'),
        properties: fc.dictionary(fc.constantFrom('a', 'b'), tie('schema'), {
          noNullPrototype: true,
        }),
        required: fc.subarray(['a', 'b']),
      }),
      fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
    ),
  })) as { schema: fc.Arbitrary<JsonObject> }
  const { value } = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', maxDepth: 3 },
      fc.constantFrom<Json>(null, true, 0, 5, 1.5, 0.12345, '', 'a'),
      fc.array(tie('value'), { maxLength: 2 }),
      fc.dictionary(fc.constantFrom('a', 'b'), tie('value'), { noNullPrototype: true }),
    ),
  })) as { value: fc.Arbitrary<Json> }
  let accepted = 0
  fc.assert(
    fc.property(schema, value, (x, theValue) => {
      const inputSchema = { type: 'object', properties: { x }, required: ['x'] }
      if (compileArguments(inputSchema, true).check({ x: theValue }) !== undefined) return
      accepted++
      fits(inputSchema, { x: theValue })
    }),
    { numRuns: 2000 },
  )
  assert.ok(accepted > 200, `only ${accepted} values were accepted`)
})

test("names and types are those of Cedar's own generator, where it and we both have one", () => {
  const stub =
    'namespace desk { @mcp_principal entity Workload; @mcp_resource entity McpServer; action "call_tool" appliesTo { principal: [Workload], resource: [McpServer] }; }'
  const inputSchema = {
    type: 'object',
    properties: {
      s: { type: 'string' },
      i: { type: 'integer' },
      b: { type: 'boolean' },
      l: { type: 'array', items: { type: 'string' } },
      o: { type: 'object', properties: { x: { type: 'string' } }, required: ['x'] },
      u: { type: ['string', 'integer'] },
    },
    required: ['s'],
  }
  const tools = JSON.stringify([{ name: 'add_note', description: '', inputSchema }])
  const generated = JSON.parse(generateSchema(stub, tools, '{"objectsAsRecords":true}'))
  assert.equal(generated.isOk, true, generated.error)
  const ours = { schema: JSON.stringify(cedarType(shapeOfArguments(inputSchema))) }
  const policies = [
    'context.input.s == "a"',
    'context.input has i && context.input.i > 1',
    'context.input has b && context.input.b',
    'context.input has l && context.input.l.contains("a")',
    'context.input has o && context.input.o.x == "a"',
    'context.input has u && context.input.u has typeChoice1 && context.input.u.typeChoice1 == 1',
    'context.input has u && context.input.u has typeChoice0 && context.input.u.typeChoice0 == "a"',
  ]
  const own = {
    desk: {
      entityTypes: { Workload: {}, McpServer: {} },
      actions: {
        add_note: {
          appliesTo: {
            principalTypes: ['Workload'],
            resourceTypes: ['McpServer'],
            context: {
              type: 'Record',
              attributes: { input: { ...JSON.parse(ours.schema), required: true } },
            },
          },
        },
      },
    },
  }
  for (const schema of [generated.schema, own]) {
    for (const when of policies) {
      const text = `permit (principal, action == desk::Action::"add_note", resource) when { ${when} };`
      const answer = cedar.validate({ schema, policies: { staticPolicies: text } })
      assert.equal(answer.type, 'success')
      assert.deepEqual(answer.type === 'success' && answer.validationErrors, [], when)
    }
  }
})
