import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  isJsonObject,
  type Json,
  JsonError,
  type JsonObject,
  parseJson,
} from '../../src/lib/json.ts'

type Problem = JsonError['problem']

function refusedFor(problem: Problem, input: string | Uint8Array): JsonError {
  try {
    parseJson(input)
  } catch (error) {
    assert.ok(error instanceof JsonError, String(error))
    assert.equal(error.problem, problem, error.message)
    return error
  }
  assert.fail(`accepted ${input}`)
}

const ACCEPTED: readonly [string, Json][] = [
  [' \t\r\n{ "a" : [ 1 , true , null ] } ', { a: [1, true, null] }],
  ['""', ''],
  ['[]', []],
  ['"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83D\\uDE00"', '"\\/\b\f\n\r\tA😀'],
  ['"\u007f\u0080\u2028\ufeff\ufffd"', '\u007f\u0080\u2028\ufeff\ufffd'],
  ['0', 0],
  ['-0', 0],
  ['-0.0e5', 0],
  ['0e999999999999', 0],
  ['-12', -12],
  ['999999999999999', 999999999999999],
  ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ['-9007199254740991', Number.MIN_SAFE_INTEGER],
  ['9007199254740991.000', Number.MAX_SAFE_INTEGER],
  ['1.0', 1],
  ['100e-2', 1],
  ['1E2', 100],
  ['0.1', 0.1],
  ['333333333.33333329', 333333333.3333333],
  ['3.14159265358979323846264338327950288', Math.PI],
  ['5e-324', 5e-324],
  ['1e30', 1e30],
  ['-1.50e+300', -1.5e300],
  ['1.7976931348623157e308', Number.MAX_VALUE],
  ['0.000001e27', 1e21],
]

for (const [text, value] of ACCEPTED) {
  test(`accepted, from text and from bytes: ${JSON.stringify(text)}`, () => {
    assert.deepEqual(parseJson(text), value)
    assert.deepEqual(parseJson(Buffer.from(text)), value)
  })
}

const REFUSED: readonly [Problem, string][] = [
  ['duplicate', '{"a":1,"a":1}'],
  ['duplicate', '{"a":1,"\\u0061":1}'],
  ['duplicate', '{"":1,"":1}'],
  ['duplicate', '{"__proto__":1,"b":2,"__proto__":3}'],
  ['duplicate', '{"toString":1,"toString":2}'],
  ['duplicate', '[[{"x":{"a":1,"b":1,"a":1}}]]'],
  ['number', '9007199254740992'],
  ['number', '-9007199254740992'],
  ['number', '9007199254740993'],
  ['number', '9007199254740993.0'],
  ['number', '9007199254740991.5'],
  ['number', '9007199254740992e0'],
  ['number', '1e20'],
  ['number', '100000000000000000000000'],
  ['number', '1234567890123456789012e3'],
  ['number', '1e400'],
  ['number', '-1e400'],
  ['number', '1e-400'],
  ['number', '0.99999999999999999999'],
  ['number', '1.00000000000000000001'],
  ['number', `1${'0'.repeat(400)}`],
  ['unicode', '\ufeff{}'],
  ['unicode', '"\ud800"'],
  ['unicode', '"\\ud800"'],
  ['unicode', '"\\udc00\\ud800"'],
  ['unicode', '"\\ud800x\\udc00"'],
  ['unicode', '{"\\ud800":1}'],
  ['depth', '['.repeat(65)],
  ['depth', '{"a":'.repeat(65)],
  ['depth', '['.repeat(500_000)],
  ['size', `"${'x'.repeat(1024 * 1024)}"`],
  ['size', `"${'é'.repeat(1024 * 512)}"`],
  ...[
    '',
    ' ',
    '{',
    '[',
    '"',
    '"a',
    '"\\',
    '"\\"',
    '"\\u12"',
    '"\\u12g4"',
    '"\\u+123"',
    '"\\U0041"',
    '"\\x41"',
    '"\n"',
    '"\u0000"',
    '"\\n\u001f"',
    "'a'",
    '{}{}',
    '{} x',
    '1 2',
    '[1,]',
    '[,1]',
    '[1 2]',
    '[1}',
    '{"a":1,}',
    '{,}',
    '{a:1}',
    '{"a" 1}',
    '{"a":}',
    '{"a":1]',
    '{1:1}',
    '{"a":1 "b":2}',
    'nul',
    'nulll',
    'True',
    'undefined',
    'NaN',
    'Infinity',
    '-Infinity',
    '-',
    '+1',
    '01',
    '-01',
    '00',
    '1.',
    '.5',
    '-.5',
    '1e',
    '1e+',
    '1.e1',
    '1.5.5',
    '0x10',
    '1_000',
    '１',
    '\u00a01',
    '\u20281',
    '\u000b1',
    '\f1',
    '//a\n1',
    '1/**/',
    '\u00001',
    '1\u0000',
  ].map((text): [Problem, string] => ['syntax', text]),
]

for (const [problem, text] of REFUSED) {
  const shown = JSON.stringify(text.length > 60 ? `${text.slice(0, 20)}… (${text.length})` : text)
  test(`refused for its ${problem}: ${shown}`, () => {
    refusedFor(problem, text)
  })
}

const BAD_UTF8: readonly [string, number[], number][] = [
  ['a byte order mark', [0xef, 0xbb, 0xbf, 0x31], -1],
  ['UTF-16', [0xff, 0xfe, 0x31, 0x00], 0],
  ['a lone continuation', [0x22, 0x80, 0x22], 1],
  ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22], 1],
  ['a surrogate', [0x22, 0x61, 0xed, 0xa0, 0x80, 0x22], 2],
  ['more than Unicode has', [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22], 1],
  ['a cut character', [0x22, 0xe2, 0x82], 1],
]

for (const [name, bytes, at] of BAD_UTF8) {
  test(`bytes that are not UTF-8 text are refused: ${name}`, () => {
    const error = refusedFor('unicode', Uint8Array.from(bytes))
    if (at >= 0) assert.match(error.message, new RegExp(`at byte ${at}$`))
  })
}

test('a member named __proto__ is a member and no prototype', () => {
  const value = parseJson('{"__proto__":{"admin":true},"a":{"__proto__":null}}') as JsonObject
  assert.equal(Object.getPrototypeOf(value), Object.prototype)
  assert.equal(value.admin, undefined)
  assert.deepEqual(Object.keys(value), ['__proto__', 'a'])
  assert.equal(JSON.stringify(value), '{"__proto__":{"admin":true},"a":{"__proto__":null}}')
  assert.equal(({} as JsonObject).admin, undefined)
})

test('a part of a larger buffer is read as that part', () => {
  assert.deepEqual(parseJson(Buffer.from('xx[1]xx').subarray(2, 5)), [1])
})

test('limits are the caller’s, and a limit that would exhaust the stack is a mistake', () => {
  assert.deepEqual(parseJson('[[1]]', { maxDepth: 2 }), [[1]])
  assert.throws(() => parseJson('[[1]]', { maxDepth: 1 }), JsonError)
  assert.throws(() => parseJson('[]', { maxDepth: 0 }), JsonError)
  assert.equal(parseJson('1', { maxDepth: 0 }), 1)
  assert.throws(() => parseJson('123', { maxBytes: 2 }), JsonError)
  assert.throws(() => parseJson(Buffer.from('123'), { maxBytes: 2 }), JsonError)
  assert.equal(parseJson('"é"', { maxBytes: 4 }), 'é')
  assert.throws(() => parseJson('"é"', { maxBytes: 3 }), JsonError)
  for (const maxDepth of [-1, 513, Number.NaN]) {
    assert.throws(() => parseJson('1', { maxDepth }), TypeError)
  }
  parseJson('['.repeat(512) + ']'.repeat(512), { maxDepth: 512 })
})

test('siblings are not depth', () => {
  parseJson(`[${Array(1000).fill('[{"a":[]}]').join()}]`, { maxDepth: 4 })
})

test('errors say where, and repeat nothing of the text', () => {
  const secret = 'hunter2'
  const texts = [
    `{"${secret}":1,"${secret}":2}`,
    `{"a":${secret}}`,
    `{"a":"${secret}\n"}`,
    `["${secret}\\ud800"]`,
    `{"a":1} ${secret}`,
  ]
  for (const text of texts) {
    assert.throws(
      () => parseJson(text),
      (error) =>
        error instanceof JsonError &&
        /at character \d+$/.test(error.message) &&
        !error.message.includes(secret),
    )
  }
  assert.equal(refusedFor('duplicate', '{"a":1,"a":2}').offset, 7)
  assert.equal(refusedFor('syntax', '[1,x]').offset, 3)
})

test('objects are objects, and nothing else is', () => {
  assert.equal(isJsonObject({}), true)
  for (const value of [[], null, 'a', 1, true, undefined]) assert.equal(isJsonObject(value), false)
})

/** `-0` and `0` are one number to us. */
function withoutMinusZero(value: Json): Json {
  return JSON.parse(JSON.stringify(value))
}

const name = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('__proto__', 'constructor', '0'),
)
const accepted = fc.oneof(
  fc.maxSafeInteger(),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .filter((value) => !Number.isInteger(value) || Number.isSafeInteger(value)),
)
const { iJson } = fc.letrec<{ iJson: Json }>((tie) => ({
  iJson: fc.oneof(
    { maxDepth: 5 },
    fc.string({ unit: 'grapheme' }),
    accepted,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('iJson')),
    fc.array(fc.tuple(name, tie('iJson'))).map((members) => Object.fromEntries(members) as Json),
  ),
}))

test('every I-JSON value survives being written and read', () => {
  fc.assert(
    fc.property(iJson, fc.constantFrom(undefined, 1, '\t'), (value, space) => {
      const text = JSON.stringify(value, undefined, space)
      assert.deepEqual(parseJson(text), withoutMinusZero(value))
      assert.deepEqual(parseJson(Buffer.from(text)), withoutMinusZero(value))
    }),
  )
})

/** What JSON.parse makes of a text, or nothing. */
function parseLoosely(text: string): { value: Json } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

const fragments = fc.constantFrom(
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '\\u',
    'd83d',
    'de00',
    '00',
    '1',
    '-',
    '.',
    'e',
    '+',
  ],
  ...[
    '"a"',
    '"a":',
    '"\\u0061":',
    'true',
    'false',
    'null',
    ' ',
    '\n',
    '\u0000',
    '\ufeff',
    '\ud800',
  ],
  ...['9007199254740992', '0.1', '1e5', '"__proto__":', 'é', '😀', '\u2028'],
)
const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fragments, { maxLength: 24 }).map((parts) => parts.join('')),
  // A good text with one character too many, too few or wrong.
  fc.tuple(iJson, fc.nat(), fc.nat(2), fragments).map(([value, at, drop, put]) => {
    const text = JSON.stringify(value)
    const i = at % (text.length + 1)
    return text.slice(0, i) + put + text.slice(i + drop)
  }),
)

test('any text is accepted as JSON.parse reads it, or refused with a JsonError', () => {
  fc.assert(
    fc.property(hostile, (text) => {
      let value: Json
      try {
        value = parseJson(text)
      } catch (error) {
        assert.ok(error instanceof JsonError, String(error))
        // Stricter than JSON.parse only where a rule of ours says so.
        if (parseLoosely(text)) assert.notEqual(error.problem, 'syntax', text)
        return
      }
      assert.deepEqual(value, withoutMinusZero(parseLoosely(text)?.value as Json))
    }),
    { numRuns: 3000 },
  )
})

test('any bytes are accepted or refused with a JsonError', () => {
  const bytes = fc.oneof(
    fc.uint8Array(),
    fc.tuple(hostile, fc.nat(), fc.nat(255)).map(([text, at, byte]) => {
      const buffer = Buffer.from(text)
      if (buffer.length > 0) buffer[at % buffer.length] = byte
      return buffer
    }),
  )
  fc.assert(
    fc.property(bytes, (input) => {
      try {
        parseJson(input)
      } catch (error) {
        assert.ok(error instanceof JsonError, String(error))
      }
    }),
    { numRuns: 3000 },
  )
})

test('any number literal is its double, or refused because it would not be', () => {
  const digits = fc.stringMatching(/^[0-9]{1,25}$/)
  const literal = fc
    .tuple(fc.boolean(), digits, fc.option(digits), fc.option(fc.integer({ min: -330, max: 330 })))
    .map(([negative, whole, fraction, exponent]) => {
      const integer = whole.replace(/^0+(?=.)/, '')
      const point = fraction === null ? '' : `.${fraction}`
      return `${negative ? '-' : ''}${integer}${point}${exponent === null ? '' : `e${exponent}`}`
    })
  fc.assert(
    fc.property(literal, (text) => {
      const double = Number(text)
      let value: Json
      try {
        value = parseJson(text)
      } catch (error) {
        assert.ok(error instanceof JsonError && error.problem === 'number')
        assert.ok(!Number.isFinite(double) || Number.isInteger(double), text)
        return
      }
      assert.equal(value, double === 0 ? 0 : double)
      if (!Number.isInteger(double)) return
      assert.ok(Number.isSafeInteger(double) || Math.abs(double) >= 1e21, text)
      // Exactly that integer, by arithmetic that does not round.
      const [significand = '', exponent = '0'] = text.split('e')
      const [whole = '', fraction = ''] = significand.split('.')
      const scale = Number(exponent) - fraction.length
      if (!Number.isSafeInteger(double)) return
      const shift = (power: number) => 10n ** BigInt(Math.max(power, 0))
      assert.equal(BigInt(whole + fraction) * shift(scale), BigInt(double) * shift(-scale), text)
    }),
    { numRuns: 3000 },
  )
})
