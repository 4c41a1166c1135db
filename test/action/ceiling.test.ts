// A ceiling allows what it names and nothing beside it, however many hands it has gone through.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Action } from '../../src/action/action.ts'
import {
  type Ceiling,
  type CeilingElement,
  CeilingError,
  exceeds,
  isWithin,
  MAX_CEILING_BYTES,
  parseCeiling,
  parseRequestedCeiling,
  reaches,
} from '../../src/action/ceiling.ts'
import { hashArguments } from '../../src/action/hash.ts'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { Refusal } from '../../src/refusal.ts'
import { call } from '../catalogue/pins.ts'

const HERE = 'https://mcp.example/mcp'
const ELEMENT: JsonObject = {
  type: 'mcp_ceiling',
  locations: [HERE],
  actions: ['tools/call'],
  identifiers: ['pay'],
}
const HASH = hashArguments({ amount: 1 })
const many = (count: number) => Array.from({ length: count }, (_, at) => `name-${at}`)

const WRONG: readonly (readonly [string, Json])[] = [
  ['no array', ELEMENT],
  ['no element', []],
  ['seventeen elements', Array(17).fill(ELEMENT)],
  ['an element that is no object', ['pay']],
  ['another type', [{ ...ELEMENT, type: 'mcp_action' }]],
  ['a member that is not known', [{ ...ELEMENT, max_uses: 1 }]],
  ['an action’s identifier', [{ ...ELEMENT, identifier: 'pay' }]],
  ['no locations', [{ ...ELEMENT, locations: [] }]],
  ['locations that are no list', [{ ...ELEMENT, locations: HERE }]],
  ['a location of another type', [{ ...ELEMENT, locations: [HERE, 1] }]],
  ['an empty location', [{ ...ELEMENT, locations: [''] }]],
  ['a location twice', [{ ...ELEMENT, locations: [HERE, HERE] }]],
  ['nine locations', [{ ...ELEMENT, locations: many(9) }]],
  ['no methods', [{ ...ELEMENT, actions: [] }]],
  ['a method that needs no action token', [{ ...ELEMENT, actions: ['tools/list'] }]],
  ['a method that does not exist', [{ ...ELEMENT, actions: ['tools/*'] }]],
  ['no names', [{ ...ELEMENT, identifiers: [] }]],
  ['every name', [{ ...ELEMENT, identifiers: ['*'] }]],
  ['a pattern of names', [{ ...ELEMENT, identifiers: ['pay_*'] }]],
  ['sixty-five names', [{ ...ELEMENT, identifiers: many(65) }]],
  ['a name that is too long', [{ ...ELEMENT, identifiers: ['x'.repeat(2049)] }]],
  ['arguments instead of their hash', [{ ...ELEMENT, arguments: {} }]],
  ['a hash of another form', [{ ...ELEMENT, arguments_hash: 'abc' }]],
  ['no hash', [{ ...ELEMENT, arguments_hash: null }]],
  [
    'a hash beside a method that has no arguments',
    [{ ...ELEMENT, actions: ['tools/call', 'resources/read'], arguments_hash: HASH }],
  ],
  [
    'more bytes than a token can hold',
    [{ ...ELEMENT, identifiers: many(8).map((name) => name.padEnd(1100, 'x')) }],
  ],
]

for (const [what, json] of WRONG) {
  test(`${what} is no ceiling`, () => {
    assert.throws(() => parseCeiling(json), CeilingError)
    assert.throws(
      () => parseRequestedCeiling(json),
      (error) => error instanceof Refusal && error.reason.code === 'details_invalid',
    )
  })
}

test('a ceiling is read as it is, and a request for one may name its task', () => {
  const elements = [ELEMENT, { ...ELEMENT, arguments_hash: HASH }]
  assert.deepEqual(parseCeiling(elements), elements)
  const asked = parseRequestedCeiling([{ ...ELEMENT, task: 'invoice-1' }, ELEMENT])
  assert.deepEqual(asked, { ceiling: [ELEMENT, ELEMENT], task: 'invoice-1' })
  assert.equal(parseRequestedCeiling([ELEMENT]).task, undefined)
  for (const task of ['', 'two words', 1, null]) {
    assert.throws(() => parseRequestedCeiling([{ ...ELEMENT, task }]), Refusal)
  }
  assert.throws(() => parseCeiling([{ ...ELEMENT, task: 'invoice-1' }]), CeilingError)
})

test('the ceiling that docs/delegation.md asks for is one', () => {
  const page = readFileSync(new URL('../../docs/delegation.md', import.meta.url), 'utf8')
  const [, text = ''] =
    /authorization_details=(\[\{"type":"mcp_ceiling"[\s\S]*?\}\])/.exec(page) ?? []
  const { ceiling, task } = parseRequestedCeiling(JSON.parse(text))
  assert.deepEqual([ceiling.length, task], [1, 'invoice-4711'])
})

test('no JSON makes the parser do anything but read it or refuse it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.anything(), (json, other) => {
      for (const value of [
        json,
        [json],
        [{ ...ELEMENT, identifiers: json }],
        [{ ...ELEMENT, x: other }],
      ]) {
        try {
          const parsed = parseCeiling(value as Json)
          assert.ok(JSON.stringify(parsed).length <= 2 * MAX_CEILING_BYTES)
        } catch (error) {
          assert.ok(error instanceof CeilingError, String(error))
        }
      }
    }),
  )
})

const SERVERS = ['https://a.example/mcp', 'https://b.example/mcp', 'https://a.example/mc']
const METHODS = ['tools/call', 'prompts/get', 'resources/read', 'tasks/get'] as const
const NAMES = ['pay', 'Pay', 'pay ', 'list', '__proto__']
const ARGUMENTS: readonly JsonObject[] = [{}, { amount: 1 }, { amount: 2 }]

const some = <T>(all: readonly T[]) => fc.uniqueArray(fc.constantFrom(...all), { minLength: 1 })
const elements: fc.Arbitrary<CeilingElement> = fc
  .record({
    locations: some(SERVERS),
    actions: some(METHODS),
    identifiers: some(NAMES),
    fixed: fc.option(fc.constantFrom(...ARGUMENTS), { nil: undefined }),
  })
  .map(({ fixed, ...lists }) => {
    const withArguments = lists.actions.every(
      (each) => each === 'tools/call' || each === 'prompts/get',
    )
    const hash =
      fixed !== undefined && withArguments ? { arguments_hash: hashArguments(fixed) } : {}
    return { type: 'mcp_ceiling' as const, ...lists, ...hash }
  })
const ceilings: fc.Arbitrary<Ceiling> = fc.array(elements, { minLength: 1, maxLength: 4 })
const actions: fc.Arbitrary<Action> = fc
  .record({
    server: fc.constantFrom(...SERVERS),
    method: fc.constantFrom(...METHODS),
    identifier: fc.constantFrom(...NAMES),
    args: fc.constantFrom(...ARGUMENTS),
    input: fc.option(fc.constant({ requestState: 's' }), { nil: undefined }),
  })
  .map(({ args, method, ...rest }) => ({
    ...rest,
    method,
    arguments: method === 'tools/call' || method === 'prompts/get' ? args : undefined,
    task: undefined,
  }))

/** What a ceiling means, written down the long way: all that it allows, one by one. */
function allows(
  ceiling: Ceiling,
  { server, method, identifier, arguments: args }: Action,
): boolean {
  for (const element of ceiling) {
    for (const location of element.locations) {
      for (const action of element.actions) {
        for (const name of element.identifiers) {
          if (location !== server || action !== method || name !== identifier) continue
          if (element.arguments_hash === undefined) return true
          if (args !== undefined && element.arguments_hash === hashArguments(args)) return true
        }
      }
    }
  }
  return false
}

test('an action is granted exactly when one element allows all of it', () => {
  let granted = 0
  fc.assert(
    fc.property(ceilings, actions, (ceiling, action) => {
      const part = exceeds(parseCeiling(ceiling as never), action)
      assert.equal(part === undefined, allows(ceiling, action))
      if (part === undefined) granted += 1
      if (part !== 'location') assert.ok(reaches(ceiling, action.server))
      else assert.ok(!reaches(ceiling, action.server))
    }),
    { numRuns: 3000 },
  )
  assert.ok(granted > 100, 'the property was not only tested with refusals')
})

/** A part of a ceiling, and now and then something that is not. */
function narrower(ceiling: Ceiling): fc.Arbitrary<Ceiling> {
  const part = fc.constantFrom(...ceiling).chain((element) =>
    fc.record({
      type: fc.constant('mcp_ceiling' as const),
      locations: fc.subarray([...element.locations], { minLength: 1 }),
      actions: fc.subarray([...element.actions], { minLength: 1 }),
      identifiers: fc.subarray([...element.identifiers], { minLength: 1 }),
      ...(element.arguments_hash === undefined
        ? {}
        : { arguments_hash: fc.constant(element.arguments_hash) }),
    }),
  )
  return fc.array(fc.oneof({ weight: 9, arbitrary: part }, { weight: 1, arbitrary: elements }), {
    minLength: 1,
    maxLength: 4,
  })
}

test('no chain of delegations allows what one before did not', () => {
  let allowedAtTheEnd = 0
  const chains = ceilings.chain((first) =>
    narrower(first).chain((second) =>
      narrower(second).map((third) => [first, second, third] as const),
    ),
  )
  fc.assert(
    fc.property(chains, actions, ([first, second, third], action) => {
      if (!isWithin(second, first) || !isWithin(third, second)) return
      if (exceeds(third, action) !== undefined) return
      allowedAtTheEnd += 1
      for (const earlier of [first, second]) assert.ok(allows(earlier, action))
    }),
    { numRuns: 20_000 },
  )
  assert.ok(allowedAtTheEnd > 100, `${allowedAtTheEnd}`)
})

test('a part of a ceiling lies within it, and the ceiling not within the part', () => {
  fc.assert(
    fc.property(ceilings, fc.nat(), (ceiling, at) => {
      assert.ok(isWithin(ceiling, ceiling))
      const element = ceiling[at % ceiling.length] as CeilingElement
      assert.ok(isWithin([element], ceiling))
      const more = { ...element, identifiers: [...element.identifiers, 'something else'] }
      assert.ok(!isWithin([more], ceiling))
    }),
  )
})

test('two elements together allow less than one that has the parts of both', () => {
  const element = (identifiers: string[], locations: string[]) =>
    ({ ...ELEMENT, identifiers, locations }) as unknown as CeilingElement
  const outer = [element(['pay'], ['https://a']), element(['list'], ['https://b'])]
  assert.ok(!isWithin([element(['pay', 'list'], ['https://a', 'https://b'])], outer))
  assert.ok(!isWithin([element(['pay'], ['https://b'])], outer))
  assert.equal(exceeds(outer, call('pay', {}, { server: 'https://b' })), 'identifier')
})
