import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkParamHeaders } from '../../src/action/headers.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { Refusal } from '../../src/refusal.ts'

// The cases of messages.json cover the other headers.
const schema: JsonObject = {
  type: 'object',
  properties: {
    region: { type: 'string', 'x-mcp-header': 'Region' },
    count: { type: 'integer', 'x-mcp-header': 'Count' },
    dry: { type: 'boolean', 'x-mcp-header': 'Dry-Run' },
    deep: { type: 'object', properties: { id: { type: 'string', 'x-mcp-header': 'Deep' } } },
    list: { type: 'array', items: { type: 'string', 'x-mcp-header': 'Items' } },
    bad: { type: 'string', 'x-mcp-header': 'no token' },
    any: { 'x-mcp-header': 'Any' },
    plain: { type: 'string' },
  },
}

const CASES: readonly [string, JsonObject, Record<string, string>, boolean][] = [
  ['nothing is marked in what is given', { plain: 'x' }, {}, true],
  ['an equal string', { region: 'eu' }, { region: 'eu' }, true],
  ['a string in Base64', { region: 'é' }, { region: '=?base64?w6k=?=' }, true],
  ['an equal integer', { count: 42 }, { count: '42' }, true],
  ['an integer written otherwise', { count: 42 }, { count: '42.0' }, true],
  ['an equal boolean', { dry: true }, { 'dry-run': 'true' }, true],
  ['a nested argument', { deep: { id: 'a' } }, { deep: 'a' }, true],
  ['an argument that is null', { region: null }, {}, true],
  ['a header for an argument that is absent', {}, { region: 'eu' }, true],
  ['a mark below items means nothing', { list: ['a'] }, {}, true],
  ['a mark that is no token means nothing', { bad: 'x' }, {}, true],
  ['a mark without a type means nothing', { any: 'x' }, {}, true],
  ['no header', { region: 'eu' }, {}, false],
  ['another string', { region: 'eu' }, { region: 'us' }, false],
  ['a string in another case', { region: 'eu' }, { region: 'EU' }, false],
  ['two values', { region: 'eu' }, { region: 'eu, us' }, false],
  ['another string in Base64', { region: 'eu' }, { region: '=?base64?dXM=?=' }, false],
  ['broken Base64', { region: 'eu' }, { region: '=?base64?ZXU?=' }, false],
  ['another integer', { count: 42 }, { count: '43' }, false],
  ['an integer in another notation', { count: 42 }, { count: '0x2a' }, false],
  ['an empty integer', { count: 0 }, { count: '' }, false],
  ['another boolean', { dry: true }, { 'dry-run': 'false' }, false],
  ['a boolean as a number', { dry: true }, { 'dry-run': '1' }, false],
  ['a nested argument that differs', { deep: { id: 'a' } }, { deep: 'b' }, false],
  ['a nested argument without a header', { deep: { id: 'a' } }, {}, false],
  ['text compared as text, though both are numbers', { region: '42' }, { region: '42.0' }, false],
]

for (const [name, args, headers, agree] of CASES) {
  test(`parameter headers ${agree ? 'agree' : 'are refused'}: ${name}`, () => {
    const check = () =>
      checkParamHeaders(schema, args, (key) => headers[key.slice('mcp-param-'.length)])
    if (agree) check()
    else {
      assert.throws(
        check,
        (error) => error instanceof Refusal && error.reason.code === 'header_mismatch',
      )
    }
  })
}

test('a schema without properties asks for nothing', () => {
  checkParamHeaders({}, undefined, () => undefined)
  checkParamHeaders(schema, undefined, () => undefined)
})
