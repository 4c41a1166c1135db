import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  ClientCertError,
  createTrustedPeers,
  parseClientCert,
} from '../../src/token/client-cert.ts'

const encode = (bytes: Uint8Array) => `:${Buffer.from(bytes).toString('base64')}:`
const LEAF = Buffer.from('the leaf')
const CA = Buffer.from('an authority')
const ROOT = Buffer.from('the root')

const READ: readonly (readonly [string, string[], string[], Uint8Array[]])[] = [
  ['a certificate alone', [encode(LEAF)], [], [LEAF]],
  ['blanks around it', [` \t${encode(LEAF)} `], [], [LEAF]],
  ['a chain', [encode(LEAF)], [`${encode(CA)}, ${encode(ROOT)}`], [LEAF, CA, ROOT]],
  ['a chain without blanks', [encode(LEAF)], [`${encode(CA)},${encode(ROOT)}`], [LEAF, CA, ROOT]],
  ['a chain on two lines', [encode(LEAF)], [encode(CA), encode(ROOT)], [LEAF, CA, ROOT]],
  ['no padding needed', [encode(Buffer.from('abc'))], [], [Buffer.from('abc')]],
]

for (const [title, leaf, chain, expected] of READ) {
  test(`Client-Cert is read: ${title}`, () => {
    assert.deepEqual(parseClientCert(leaf, chain).map(Buffer.from), expected.map(Buffer.from))
  })
}

const GOOD = encode(LEAF)
const REFUSED: readonly (readonly [string, string[], string[]])[] = [
  ['no Client-Cert', [], []],
  ['no Client-Cert, but a chain', [], [GOOD]],
  ['two of them: one may be the client’s own', [GOOD, GOOD], []],
  ['two in one line', [`${GOOD}, ${GOOD}`], []],
  ['nothing', [''], []],
  ['an empty byte sequence', ['::'], []],
  ['no colons', [LEAF.toString('base64')], []],
  ['one colon', [`:${LEAF.toString('base64')}`], []],
  ['no padding', [':YQ:'], []],
  ['bits that stand for nothing', [':YR==:'], []],
  ['too much padding', [':YQ===:'], []],
  ['base64url', [':_-8=:'], []],
  ['a blank inside', [':YWJj ZGVm:'], []],
  ['a line break', [':YWJj\nZGVm:'], []],
  ['parameters', [`${GOOD};a=1`], []],
  ['PEM', ['-----BEGIN CERTIFICATE-----'], []],
  ['an empty chain', [GOOD], ['']],
  ['a comma at the end', [GOOD], [`${GOOD},`]],
  ['an empty member', [GOOD], [`${GOOD},,${GOOD}`]],
  ['another character that looks blank', [GOOD], [`\u00a0${GOOD}`]],
  ['an inner list', [GOOD], [`(${GOOD})`]],
  ['ten certificates', [GOOD], [Array(9).fill(GOOD).join(', ')]],
  ['a certificate that is too long', [encode(Buffer.alloc(16 * 1024 + 3))], []],
  ['very many blanks', [GOOD], [`${' '.repeat(100_000)}x`]],
]

for (const [title, leaf, chain] of REFUSED) {
  test(`Client-Cert is refused: ${title}`, () => {
    assert.throws(
      () => parseClientCert(leaf, chain),
      (error) => {
        assert.ok(error instanceof ClientCertError, String(error))
        assert.ok(!error.message.includes(LEAF.toString('base64')), 'a certificate in the message')
        return true
      },
    )
  })
}

test('what a proxy writes by RFC 9440 comes out as it went in', () => {
  const certificate = fc.uint8Array({ minLength: 1, maxLength: 2000 })
  fc.assert(
    fc.property(certificate, fc.array(certificate, { maxLength: 8 }), (leaf, chain) => {
      const lines = chain.length === 0 ? [] : [chain.map(encode).join(', ')]
      const read = parseClientCert([encode(leaf)], lines).map((one) => Buffer.from(one))
      assert.deepEqual(
        read,
        [leaf, ...chain].map((one) => Buffer.from(one)),
      )
    }),
  )
})

test('any text is read in its one spelling, or refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...':=+/ab,; YQ'), maxLength: 20 }), (text) => {
      let read: Uint8Array[]
      try {
        read = parseClientCert([text], [])
      } catch (error) {
        assert.ok(error instanceof ClientCertError)
        return
      }
      assert.equal(encode(read[0] ?? Buffer.alloc(0)), text.trim())
    }),
    { numRuns: 2000 },
  )
})

const PEERS = createTrustedPeers(['10.0.0.7', '192.0.2.0/24', 'fd00::/8', '2001:db8::1'])

const TRUSTED = [
  '10.0.0.7',
  '::ffff:10.0.0.7',
  '::FFFF:192.0.2.200',
  '192.0.2.0',
  'fd12::1',
  '2001:db8::1',
]
const STRANGERS = [
  undefined,
  '',
  '10.0.0.8',
  '::ffff:10.0.0.8',
  '192.0.3.1',
  'fe80::1',
  '2001:db8::2',
  'localhost',
  '10.0.0.7 ',
  '10.0.0.7/32',
  '010.0.0.7',
  '::ffff:999.0.0.1',
]

test('only a listed peer hands on certificates, IPv4 in either spelling', () => {
  for (const address of TRUSTED) assert.equal(PEERS.trusts(address), true, address)
  for (const address of STRANGERS) assert.equal(PEERS.trusts(address), false, String(address))
})

test('a network of IPv6 addresses trusts no IPv4 peer, whose spelling as IPv6 may lie in it', () => {
  const peers = createTrustedPeers(['::/8', '::/64'])
  assert.equal(peers.trusts('::1'), true)
  for (const address of ['10.0.0.7', '::ffff:10.0.0.7']) assert.equal(peers.trusts(address), false)
})

test('an empty list trusts nobody', () => {
  const nobody = createTrustedPeers([])
  for (const address of TRUSTED) assert.equal(nobody.trusts(address), false, address)
})

test('a list with an entry that is no address and no network is refused, and the entry named', () => {
  for (const entry of [
    '',
    'localhost',
    '10.0.0',
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    '10.0.0.0/08',
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/-1',
    '10.0.0.0/255.0.0.0',
    '::ffff:10.0.0.7',
    'fe80::1%eth0',
    '*',
    ' 10.0.0.1',
  ]) {
    assert.throws(
      () => createTrustedPeers(['10.0.0.1', entry]),
      (error) => error instanceof TypeError && error.message.includes(`"${entry}"`),
      entry,
    )
  }
})
