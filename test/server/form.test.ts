import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Refusal } from '../../src/refusal.ts'
import { parseForm } from '../../src/server/form.ts'

const name = fc.stringMatching(/^[a-z_]{1,20}$/)
const value = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => text.isWellFormed())

test('whatever a form encoder writes is read back unchanged', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 20 }),
      (pairs) => {
        const text = new URLSearchParams(pairs).toString()
        assert.deepEqual([...parseForm(text)], pairs)
      },
    ),
  )
})

test('any text is either refused or read as URLSearchParams reads it', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z%=&+0-9 é\n]{0,40}$/), (text) => {
      let form: ReadonlyMap<string, string>
      try {
        form = parseForm(text)
      } catch (error) {
        assert.ok(error instanceof Refusal && error.reason.code === 'request_malformed')
        return
      }
      const lenient = [...new URLSearchParams(text)].filter(([, given]) => given !== '')
      assert.deepEqual([...form], lenient)
    }),
    { numRuns: 2_000 },
  )
})

test('a parameter without a value counts as not given', () => {
  assert.deepEqual([...parseForm('a=&b&c=1')], [['c', '1']])
})

test('an empty parameter given twice is still twice', () => {
  assert.throws(() => parseForm('a=&a='), Refusal)
})

test('a thousand parameters are too many', () => {
  const text = Array.from({ length: 65 }, (_, i) => `p${i}=1`).join('&')
  assert.throws(() => parseForm(text), Refusal)
})

test('no error repeats a value', () => {
  try {
    parseForm('password=hunter2&password=hunter2')
    assert.fail()
  } catch (error) {
    assert.ok(!JSON.stringify((error as Refusal).reason).includes('hunter2'))
  }
})
