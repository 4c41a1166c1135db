import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compilePattern, MAX_PATTERN_LENGTH } from '../../src/catalogue/schema/pattern.ts'
import { SchemaError } from '../../src/catalogue/schema/schema-error.ts'

const REFUSED: readonly [string, string, RegExp][] = [
  ['a look-ahead', '^(?=a)a', /look-around/],
  ['a negative look-ahead', '^(?!a)b', /look-around/],
  ['a look-behind', '(?<=a)b', /look-around/],
  ['a negative look-behind', '(?<!a)b', /look-around/],
  ['a back-reference', '(a)\\1', /back-reference/],
  ['a named back-reference', '(?<x>a)\\k<x>', /back-reference/],
  ['inline flags', '(?i:a)', /inline flags/],
  ['what is no pattern', '(a', /not valid in ECMA-262/],
  ['what only old engines take', 'a{,2}', /not valid in ECMA-262/],
  ['a count beyond a thousand', 'a{1001}', /linear time/],
  ['an overlong pattern', 'a'.repeat(MAX_PATTERN_LENGTH + 1), /characters/],
]
for (const [title, source, words] of REFUSED) {
  test(`${title} is refused in words`, () => {
    assert.throws(
      () => compilePattern(source),
      (error) => error instanceof SchemaError && words.test(error.message),
    )
  })
}

test('patterns that hold a backtracking engine for hours answer at once', () => {
  const long = `${'a'.repeat(50_000)}!`
  for (const bomb of [
    '^(a+)+$',
    '^(a|a)*$',
    '^(a|aa)+$',
    '(x+x+)+y',
    '^(.*a){12}$',
    '^([a-z]+)*$',
  ]) {
    assert.equal(compilePattern(bomb).test(long), false, bomb)
  }
})

const SAME: readonly string[] = [
  '^a.b$',
  '^\\s+$',
  '\\S',
  '[\\s\\d]',
  '[\\S]',
  '[^\\s]',
  '\\bfoo\\b',
  '[\\b]',
  '\\u0041',
  '\\u{1F600}',
  '\\ud83d\\ude00',
  '\\x41',
  '\\cA',
  '\\0',
  '[]',
  '[^]',
  '[&&a]',
  '[\\[:alpha:]',
  '[a\\-z]',
  '^$',
  'a$|b',
  '\\p{L}',
  '\\p{Letter}',
  '\\P{Lu}',
  '\\p{Script=Greek}',
  '\\p{gc=Nd}',
  '(?<year>\\d{4})',
  '^.$',
  '[~`]',
  '\\/',
  'a|',
  '()',
  'a{2,}?',
  '\\.\\*',
  '[\\]]',
  '[\\^a]',
  '\\w',
  '\\W',
  '\\D',
  '\\v',
  '\\n$',
]
const TEXTS: readonly string[] = [
  '',
  'a',
  'ab',
  'a\nb',
  'a\u2028b',
  'a b',
  ' ',
  '\u00a0',
  '\ufeff',
  '\u3000',
  'foo',
  'foobar',
  'A',
  '😀',
  '\u0008',
  '\u0001',
  '\u0000',
  '&',
  '[',
  ':',
  ']',
  '^',
  '-',
  'm',
  'a\n',
  'b',
  'é',
  'α',
  '9',
  '٣',
  '~',
  '`',
  '/',
  'aa',
  '.*',
  '\v',
  '\u0085',
  '_',
]
test('what ECMA-262 matches is what matches here', () => {
  for (const source of SAME) {
    const ours = compilePattern(source)
    const theirs = new RegExp(source, 'u')
    for (const text of TEXTS) {
      assert.equal(ours.test(text), theirs.test(text), `${source} on ${JSON.stringify(text)}`)
    }
  }
})

test('random patterns match what ECMA-262 matches', () => {
  const atom = fc.constantFrom(
    'a',
    'b',
    '.',
    '\\d',
    '\\s',
    '\\w',
    '[ab]',
    '[^a]',
    '\\u{61}',
    '\\.',
    '^',
    '$',
    '\\b',
    '[\\s-]',
  )
  const piece = fc
    .tuple(atom, fc.constantFrom('', '', '{1,2}'))
    .map(([a, q]) => (/^(\^|\$|\\b)$/.test(a) ? a : a + q))
  const pattern = fc
    .array(
      fc.oneof(
        piece,
        fc.tuple(piece, piece).map(([a, b]) => `(?:${a}|${b})`),
      ),
      { maxLength: 5 },
    )
    .map((pieces) => pieces.join(''))
  const text = fc.string({
    unit: fc.constantFrom('a', 'b', '1', ' ', '\n', '\u2028', 'é', '.', '-'),
    maxLength: 6,
  })
  fc.assert(
    fc.property(pattern, text, (source, subject) => {
      assert.equal(compilePattern(source).test(subject), new RegExp(source, 'u').test(subject))
    }),
    { numRuns: 3000 },
  )
})
