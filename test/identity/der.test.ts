import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  booleanOf,
  DerError,
  DerReader,
  elementsOf,
  integerOf,
  namedBitsOf,
  octetsOfBits,
  oidOf,
  onlyContent,
  smallIntegerOf,
  timeOf,
} from '../../src/identity/x509/der.ts'
import { der, oid } from './x509-maker.ts'

const bytes = (hex: string) => Buffer.from(hex, 'hex')

const REFUSED: readonly (readonly [string, () => unknown])[] = [
  ['nothing', () => new DerReader(bytes('')).next()],
  ['a tag alone', () => new DerReader(bytes('04')).next()],
  ['a tag number above 30', () => new DerReader(bytes('1f0100')).next()],
  ['less content than said', () => new DerReader(bytes('040201')).next()],
  ['a length of indefinite form', () => new DerReader(bytes('30800000')).next()],
  ['a length in five octets', () => new DerReader(bytes('0485000000000100')).next()],
  ['a length below 128 in two octets', () => new DerReader(bytes('04810100')).next()],
  [
    'a length with a zero in front',
    () => new DerReader(bytes(`04820080${'00'.repeat(128)}`)).next(),
  ],
  ['a length that ends too early', () => new DerReader(bytes('0482')).next()],
  ['another tag', () => new DerReader(bytes('0400')).expect(2)],
  ['something behind the only element', () => onlyContent(bytes('040000'), 4)],
  ['an element cut off in a row', () => elementsOf(bytes('0400040100040201'))],
  ['an empty boolean', () => booleanOf(bytes(''))],
  ['a boolean of two octets', () => booleanOf(bytes('ffff'))],
  ['a boolean of 1', () => booleanOf(bytes('01'))],
  ['an empty integer', () => integerOf(bytes(''))],
  ['an integer with a zero in front', () => integerOf(bytes('007f'))],
  ['an integer with ones in front', () => integerOf(bytes('ff80'))],
  ['a small integer that is negative', () => smallIntegerOf(bytes('80'))],
  ['a small integer of five octets', () => smallIntegerOf(bytes('0100000000'))],
  ['an empty oid', () => oidOf(bytes(''))],
  ['an oid of 65 octets', () => oidOf(Buffer.alloc(65, 1))],
  ['an oid with a zero group in front', () => oidOf(bytes('2a8001'))],
  ['an oid that ends too early', () => oidOf(bytes('2a81'))],
  ['bits that fill no octets', () => octetsOfBits(bytes('0180'))],
  ['a bit string of nothing', () => octetsOfBits(bytes(''))],
  ['named bits of nothing', () => namedBitsOf(bytes(''))],
  ['eight unused bits', () => namedBitsOf(bytes('0880'))],
  ['unused bits of none', () => namedBitsOf(bytes('01'))],
  ['named bits with a zero at the end', () => namedBitsOf(bytes('0680'))],
  ['unused bits that are set', () => namedBitsOf(bytes('0781'))],
]

test('what has a second encoding is read in neither but the one of DER', () => {
  for (const [title, read] of REFUSED) assert.throws(read, DerError, title)
})

test('what is DER is read', () => {
  assert.deepEqual([booleanOf(bytes('00')), booleanOf(bytes('ff'))], [false, true])
  assert.deepEqual([smallIntegerOf(bytes('00')), smallIntegerOf(bytes('0080'))], [0, 128])
  assert.deepEqual([...integerOf(bytes('ff7f'))], [0xff, 0x7f])
  assert.deepEqual([namedBitsOf(bytes('00')), namedBitsOf(bytes('0106'))], [[], [5, 6]])
  assert.deepEqual(namedBitsOf(bytes('07ff80')), [0, 1, 2, 3, 4, 5, 6, 7, 8])
  assert.equal(oidOf(bytes('883703')), '2.999.3')
  const at = (tag: number, text: string) =>
    timeOf(new DerReader(der(tag, Buffer.from(text))).next())
  assert.equal(at(0x17, '491231235959Z'), Date.UTC(2049, 11, 31, 23, 59, 59) / 1000)
  assert.equal(at(0x17, '500101000000Z'), Date.UTC(1950, 0, 1) / 1000)
  assert.equal(at(0x18, '99991231235959Z'), Date.UTC(9999, 11, 31, 23, 59, 59) / 1000)
  assert.equal(at(0x17, '280229000000Z'), Date.UTC(2028, 1, 29) / 1000)
  assert.throws(() => at(0x17, '270229000000Z'), DerError)
  assert.throws(() => at(0x04, '270228000000Z'), DerError)
})

test('elements come back as they were put in', () => {
  const element = fc.tuple(fc.constantFrom(2, 4, 0x30, 0xa0), fc.uint8Array({ maxLength: 300 }))
  fc.assert(
    fc.property(fc.array(element, { maxLength: 5 }), (row) => {
      const read = elementsOf(Buffer.concat(row.map(([tag, content]) => der(tag, content))))
      assert.deepEqual(
        read.map(({ tag, content }) => [tag, [...content]]),
        row.map(([tag, content]) => [tag, [...content]]),
      )
    }),
  )
})

test('object identifiers come back as they were put in', () => {
  const arc = fc.nat({ max: 2 ** 31 - 1 })
  fc.assert(
    fc.property(
      fc.nat({ max: 2 }),
      fc.nat({ max: 39 }),
      fc.array(arc, { maxLength: 8 }),
      (...arcs) => {
        const dotted = arcs.flat().join('.')
        assert.equal(oidOf(onlyContent(oid(dotted), 6)), dotted)
      },
    ),
  )
})
