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
