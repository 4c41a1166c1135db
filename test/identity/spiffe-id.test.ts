import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  isTrustDomainName,
  MAX_SPIFFE_ID_BYTES,
  parseSpiffeId,
} from '../../src/identity/spiffe-id.ts'
import { Refusal } from '../../src/refusal.ts'

const REFUSED: readonly (readonly [string, string])[] = [
  ['empty text', ''],
  ['another scheme', 'https://corp.example/a'],
  ['a scheme in capitals', 'SPIFFE://corp.example/a'],
  ['no trust domain', 'spiffe:///a'],
  ['a trust domain in capitals', 'spiffe://Corp.example/a'],
  ['a port', 'spiffe://corp.example:443/a'],
  ['user information', 'spiffe://user@corp.example/a'],
  ['a trailing slash', 'spiffe://corp.example/a/'],
  ['a bare slash', 'spiffe://corp.example/'],
  ['an empty segment', 'spiffe://corp.example/a//b'],
  ['a dot segment', 'spiffe://corp.example/a/./b'],
  ['two dots in the middle', 'spiffe://corp.example/a/../b'],
  ['two dots at the end', 'spiffe://corp.example/a/..'],
  ['a dot at the end', 'spiffe://corp.example/.'],
  ['percent encoding', 'spiffe://corp.example/a%62'],
  ['a query', 'spiffe://corp.example/a?b'],
  ['a fragment', 'spiffe://corp.example/a#b'],
  ['a backslash', 'spiffe://corp.example\\a'],
  ['a blank before', ' spiffe://corp.example/a'],
  ['a newline after', 'spiffe://corp.example/a\n'],
  ['a tab inside', 'spiffe://corp.example/a\tb'],
  ['a letter outside ASCII', 'spiffe://corp.example/ä'],
  ['a trust domain outside ASCII', 'spiffe://cörp.example/a'],
  ['an address in brackets', 'spiffe://[::1]/a'],
  ['a trust domain of 256 bytes', `spiffe://${'a'.repeat(256)}/a`],
  ['more than 2048 bytes', `spiffe://corp.example/${'a'.repeat(MAX_SPIFFE_ID_BYTES - 21)}`],
]

for (const [name, text] of REFUSED) {
  test(`no SPIFFE ID: ${name}`, () => {
    assert.throws(
      () => parseSpiffeId(text),
      (error) =>
        error instanceof Refusal &&
        error.reason.code === 'identity_invalid' &&
        error.reason.check === 'spiffe_id',
    )
  })
}

const ACCEPTED = [
  'spiffe://corp.example',
  'spiffe://corp.example/a',
  'spiffe://corp.example/agents/report-bot',
  'spiffe://corp.example/...',
  'spiffe://corp.example/.a/a./..a',
  'spiffe://corp_1.example-2/A_b-C.d/9',
  `spiffe://${'a'.repeat(255)}/a`,
  `spiffe://corp.example/${'a'.repeat(MAX_SPIFFE_ID_BYTES - 22)}`,
]

for (const text of ACCEPTED) {
  test(`a SPIFFE ID: ${text.slice(0, 50)} (${text.length} bytes)`, () => {
    assert.equal(parseSpiffeId(text).text, text)
  })
}

const domainCharacter = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789.-_')
const pathCharacter = fc.constantFrom(
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_',
)
const trustDomain = fc.string({ unit: domainCharacter, minLength: 1, maxLength: 255 })
const segment = fc
  .string({ unit: pathCharacter, minLength: 1, maxLength: 20 })
  .filter((text) => text !== '.' && text !== '..')

test('every id that the grammar makes is read, and split where the grammar says', () => {
  fc.assert(
    fc.property(trustDomain, fc.array(segment, { maxLength: 8 }), (domain, segments) => {
      const path = segments.map((one) => `/${one}`).join('')
      const text = `spiffe://${domain}${path}`
      assert.deepEqual(parseSpiffeId(text), { trustDomain: domain, path, text })
    }),
  )
})

test('one foreign character anywhere makes it no SPIFFE ID', () => {
  const foreign = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 1 })
    .filter((one) => !/[A-Za-z0-9._/-]/.test(one))
  fc.assert(
    fc.property(foreign, fc.nat(), (character, position) => {
      const id = 'spiffe://corp.example/agents/bot'
      const at = position % (id.length + 1)
      // A second ":" in the scheme or anywhere else is as foreign as a blank.
      assert.throws(() => parseSpiffeId(id.slice(0, at) + character + id.slice(at)), Refusal)
    }),
  )
})

test('any text either has the one canonical form or is refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 100 }), (text) => {
      for (const candidate of [text, `spiffe://${text}`, `spiffe://corp.example/${text}`]) {
        let id: ReturnType<typeof parseSpiffeId>
        try {
          id = parseSpiffeId(candidate)
        } catch (error) {
          assert.ok(error instanceof Refusal)
          continue
        }
        assert.equal(`spiffe://${id.trustDomain}${id.path}`, candidate)
        assert.equal(new URL(candidate).href.replace(/\/$/, ''), candidate)
      }
    }),
  )
})

test('the name of a trust domain has no path, no port and no capitals', () => {
  for (const name of ['corp.example', 'a', 'a_b-c.d']) assert.equal(isTrustDomainName(name), true)
  for (const name of ['', 'Corp', 'a/b', 'a:1', 'a b', 'a\n', 'spiffe://a', 'a'.repeat(256)]) {
    assert.equal(isTrustDomainName(name), false)
  }
})

/**
 * SPIFFE-ID §2 once more, character by character and without a regular expression, so that the two
 * can be held against each other.
 */
function recognise(text: string): { trustDomain: string; path: string } | undefined {
  const scheme = 'spiffe://'
  if (!text.startsWith(scheme) || text.length > 2048) return undefined
  const [trustDomain = '', ...segments] = text.slice(scheme.length).split('/')
  if (trustDomain.length === 0 || trustDomain.length > 255) return undefined
  const marks = '.-_'
  const isLower = (one: string) => (one >= 'a' && one <= 'z') || (one >= '0' && one <= '9')
  const isUpper = (one: string) => one >= 'A' && one <= 'Z'
  for (const one of trustDomain) if (!isLower(one) && !marks.includes(one)) return undefined
  for (const part of segments) {
    if (part === '' || part === '.' || part === '..') return undefined
    for (const one of part) {
      if (!isLower(one) && !isUpper(one) && !marks.includes(one)) return undefined
    }
  }
  return { trustDomain, path: segments.map((part) => `/${part}`).join('') }
}

function read(text: string): { trustDomain: string; path: string } | undefined {
  try {
    const { trustDomain: domain, path } = parseSpiffeId(text)
    return { trustDomain: domain, path }
  } catch (error) {
    assert.ok(error instanceof Refusal)
    return undefined
  }
}

test('a second reading of the grammar agrees on every text', () => {
  // Made of what ids are made of, so that many are ids and the others nearly.
  const piece = fc.oneof(
    { arbitrary: segment, weight: 4 },
    { arbitrary: fc.constantFrom('/', '//', '.', '..', '/./', '/../', '', '-', '_'), weight: 4 },
    {
      arbitrary: fc.constantFrom(
        'A',
        '%2e',
        '%',
        ':',
        '@',
        '?',
        '#',
        ' ',
        '\\',
        '\0',
        '\n',
        'ä',
        '／',
        '\u212a',
      ),
      weight: 1,
    },
  )
  const near = fc
    .tuple(fc.constantFrom('spiffe://', 'spiffe:/', 'Spiffe://', 'spiffe:///'), fc.array(piece))
    .map(([scheme, pieces]) => scheme + pieces.join(''))
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ unit: 'binary' })), (text) => {
      assert.deepEqual(read(text), recognise(text))
    }),
    { numRuns: 5000 },
  )
})

test('an id with one character taken out, put in or changed is read as the grammar says', () => {
  const id = fc
    .tuple(trustDomain, fc.array(segment, { maxLength: 4 }))
    .map(([domain, segments]) => ['spiffe:/', domain, ...segments].join('/'))
  fc.assert(
    fc.property(
      id,
      fc.nat(),
      fc.nat({ max: 0xff }),
      fc.nat({ max: 2 }),
      (text, place, code, kind) => {
        const at = place % text.length
        const put = kind === 0 ? '' : String.fromCharCode(code)
        const changed = text.slice(0, at) + put + text.slice(kind === 1 ? at : at + 1)
        assert.deepEqual(read(changed), recognise(changed))
      },
    ),
    { numRuns: 5000 },
  )
})

test('the length counts: 2048 bytes and a trust domain of 255 are the most', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 250, max: 260 }),
      fc.integer({ min: 2040, max: 2056 }),
      (domain, total) => {
        const start = `spiffe://${'d'.repeat(domain)}/`
        const text = start + 'p'.repeat(total - start.length)
        assert.equal(read(text) !== undefined, domain <= 255 && total <= 2048)
      },
    ),
  )
})
