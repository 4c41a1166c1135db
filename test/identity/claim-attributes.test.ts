import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { attributeReader } from '../../src/identity/issuers/claim-attributes.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { Refusal } from '../../src/refusal.ts'

const claims: JsonObject = {
  team: 'blue',
  level: 7,
  ratio: 0.5,
  admin: false,
  groups: ['a', 'b'],
  mixed: ['a', 1, true],
  none: [],
  'a/b': { '~': 'odd' },
  '': 'empty',
  nested: { list: [{ name: 'x' }] },
}
const READ: readonly (readonly [string, string | string[] | undefined])[] = [
  ['/team', 'blue'],
  ['/level', '7'],
  ['/ratio', '0.5'],
  ['/admin', 'false'],
  ['/groups', ['a', 'b']],
  ['/groups/1', 'b'],
  ['/mixed', ['a', '1', 'true']],
  ['/none', []],
  ['/a~1b/~0', 'odd'],
  ['/', 'empty'],
  ['/nested/list/0/name', 'x'],
  ['/nested/list/00/name', undefined],
  ['/nested/list/-', undefined],
  ['/nested/list/length', undefined],
  ['/groups/2', undefined],
  ['/team/length', undefined],
  ['/toString', undefined],
  ['/__proto__', undefined],
  ['/constructor/name', undefined],
  ['/missing/deeper', undefined],
]
for (const [pointer, value] of READ) {
  test(`${pointer} is ${JSON.stringify(value) ?? 'left out'}`, () => {
    const attributes = attributeReader({ x: pointer })(claims)
    assert.deepEqual(attributes, value === undefined ? {} : { x: value })
  })
}

test('whatever the claims are, attributes are flat text or the token is refused', () => {
  const read = attributeReader({ x: '/a', y: '/a/0', z: '/a/b' })
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom('a', 'b'), fc.jsonValue()), (value) => {
      try {
        for (const one of Object.values(read(value as JsonObject))) {
          assert.ok([one].flat().every((text) => typeof text === 'string'))
        }
      } catch (error) {
        assert.ok(error instanceof Refusal)
        assert.deepEqual(error.reason, { code: 'identity_invalid', check: 'claims' })
      }
    }),
  )
})
