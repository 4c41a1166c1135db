import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Certificate, parseCertificate } from '../../src/identity/x509/certificate.ts'
import { CertificateError } from '../../src/identity/x509/certificate-error.ts'
import { validatePath } from '../../src/identity/x509/path.ts'
import {
  authorityKeyId,
  CLIENT_AUTH,
  ecKeys,
  intermediate,
  leaf,
  type Made,
  NOW,
  root,
  SERVER_AUTH,
  subjectKeyId,
} from './x509-maker.ts'

const parsed = (made: Made) => parseCertificate(made.der)
const purposes = [SERVER_AUTH, CLIENT_AUTH]

/** Counts the signatures that are checked on the way. */
function counted(certificates: readonly Certificate[]) {
  const count = { checks: 0 }
  const counting = certificates.map((certificate) => ({
    ...certificate,
    signatureVerifies(issuer: Certificate) {
      count.checks += 1
      return certificate.signatureVerifies(issuer)
    },
  }))
  return { count, counting }
}

function failsWith(check: string) {
  return (error: unknown) => {
    assert.ok(error instanceof CertificateError, String(error))
    assert.equal(error.check, check)
    return true
  }
}

const ROOT = root()

test('a path is as long as it may be and no longer; self-issued intermediates count', () => {
  const certificates = [ROOT]
  for (let depth = 0; depth < 9; depth += 1) {
    certificates.unshift(intermediate(certificates[0] ?? ROOT, { subject: `depth ${depth}` }))
  }
  const anchors = [parsed(ROOT)]
  const under = (depth: number) => ({
    leaf: parsed(leaf(certificates[9 - depth] ?? ROOT)),
    intermediates: certificates.slice(9 - depth, 9).map(parsed),
    anchors,
    now: NOW,
  })
  for (const depth of [0, 1, 8]) assert.equal(validatePath(under(depth)).length, depth + 2)
  assert.throws(() => validatePath(under(9)), failsWith('chain'))
  assert.equal(validatePath({ ...under(9), maxDepth: 9 }).length, 11)
  assert.equal(validatePath({ ...under(0), maxDepth: 0 }).length, 2)
  assert.throws(() => validatePath({ ...under(1), maxDepth: 0 }), failsWith('chain'))
})

test('the path is given back from the leaf to the authority, without what was not needed', () => {
  const authority = parsed(intermediate(ROOT))
  const made = intermediate(ROOT, { subject: 'first' })
  const [bot, first, stray, anchor] = [parsed(leaf(made)), parsed(made), authority, parsed(ROOT)]
  const path = validatePath({
    leaf: bot,
    intermediates: [stray, first],
    anchors: [anchor],
    now: NOW,
  })
  assert.deepEqual(path, [bot, first, anchor])
})

test('an authority that is no root ends a path as well', () => {
  const authority = intermediate(ROOT)
  const request = { leaf: parsed(leaf(authority)), intermediates: [], now: NOW }
  assert.equal(validatePath({ ...request, anchors: [parsed(authority)] }).length, 2)
  assert.throws(() => validatePath({ ...request, anchors: [parsed(ROOT)] }), failsWith('chain'))
})

test('a hundred intermediates of one name and one key are given up', () => {
  const keys = ecKeys()
  const untrusted = root({ subject: 'same', keys })
  const issued = Array.from({ length: 100 }, () =>
    intermediate(untrusted, { subject: 'same', keys }),
  )
  const { count, counting } = counted([leaf(untrusted), ...issued].map(parsed))
  const [bot, ...intermediates] = counting
  assert.ok(bot !== undefined)
  const request = { leaf: bot, intermediates, anchors: [parsed(ROOT)], now: NOW }
  assert.throws(() => validatePath(request), failsWith('bounds'))
  assert.equal(count.checks, 0)
})

test('authorities of one name that have all signed each other are given up', () => {
  const subject = 'same'
  const authorities = Array.from({ length: 8 }, () => root({ subject }))
  const [first = ROOT] = authorities
  // One key identifier for all of them: it does not tell which has signed which.
  const extensions = {
    subjectKeyId: subjectKeyId(first.keys),
    authorityKeyId: authorityKeyId(first.keys),
  }
  const issued = authorities.flatMap((issuer) =>
    authorities.map(({ keys }) => intermediate(issuer, { subject, keys, extensions })),
  )
  const { count, counting } = counted([leaf(first), ...issued].map(parsed))
  const [bot, ...intermediates] = counting
  assert.ok(bot !== undefined)
  const request = { leaf: bot, intermediates, anchors: [parsed(ROOT)], now: NOW }
  assert.throws(() => validatePath(request), failsWith('bounds'))
  assert.ok(count.checks <= 100, `${count.checks} signatures checked`)
})

test('twins on every level, which make thousands of ways, are given up', () => {
  let issuer = root({ subject: 'lost' })
  const issued: Made[] = []
  for (let level = 0; level < 7; level += 1) {
    const plan = { subject: `level ${level}`, keys: ecKeys() }
    const twins = [0, 1, 2, 3].map(() => intermediate(issuer, plan))
    issued.push(...twins)
    issuer = twins[0] ?? issuer
  }
  const { count, counting } = counted([leaf(issuer), ...issued].map(parsed))
  const [bot, ...intermediates] = counting
  assert.ok(bot !== undefined)
  const request = { leaf: bot, intermediates, anchors: [parsed(ROOT)], now: NOW }
  assert.throws(() => validatePath(request), failsWith('bounds'))
  assert.ok(count.checks <= 100, `${count.checks} signatures checked`)
})

test('no signature is checked by a key that nobody trusted has signed for', () => {
  const forger = root({ subject: 'root', keys: ecKeys('P-521') })
  const keys = ecKeys('P-521')
  // Names and identifiers lead to the authority, which has signed none of it.
  const extensions = { authorityKeyId: authorityKeyId(ROOT.keys) }
  const top = intermediate(forger, { subject: 'top', keys, issuerName: ROOT.name, extensions })
  const last = intermediate(top, { subject: 'last', keys: ecKeys('P-521') })
  for (const [anchor, check, checks] of [
    [ROOT, 'signature', 1],
    [root({ subject: 'another' }), 'chain', 0],
  ] as const) {
    const { count, counting } = counted([leaf(last), last, top].map(parsed))
    const [bot, ...intermediates] = counting
    assert.ok(bot !== undefined)
    const request = { leaf: bot, intermediates, anchors: [parsed(anchor)], now: NOW }
    assert.throws(() => validatePath(request), failsWith(check))
    assert.equal(count.checks, checks)
  }
})

test('a CA is no leaf', () => {
  const ca = parsed(intermediate(ROOT))
  const request = { leaf: ca, intermediates: [], anchors: [parsed(ROOT)], now: NOW }
  assert.throws(() => validatePath(request), failsWith('authority'))
})

test('a hundred authorities that sign for each other in a row are not followed to the end', () => {
  const keys = ecKeys()
  const chain = [root({ subject: 'lost 0', keys })]
  for (let i = 1; i < 100; i += 1) {
    chain.unshift(intermediate(chain[0] ?? ROOT, { subject: `lost ${i}`, keys }))
  }
  const { count, counting } = counted([leaf(chain[0] ?? ROOT), ...chain].map(parsed))
  const [bot, ...intermediates] = counting
  assert.ok(bot !== undefined)
  const request = { leaf: bot, intermediates, anchors: [parsed(ROOT)], now: NOW }
  assert.throws(() => validatePath(request), failsWith('chain'))
  assert.ok(count.checks <= 9, `${count.checks} signatures checked`)
})

test('no signature is checked for an issuer that could not have issued it anyway', () => {
  const expired = intermediate(ROOT, { notAfter: NOW - 1 })
  const { count, counting } = counted([leaf(expired), expired].map(parsed))
  const [bot, ...intermediates] = counting
  assert.ok(bot !== undefined)
  const request = { leaf: bot, intermediates, anchors: [parsed(ROOT)], now: NOW }
  assert.throws(() => validatePath(request), failsWith('expiry'))
  assert.equal(count.checks, 0)
})

test('a purpose is asked of the leaf and of every CA that names purposes', () => {
  const request = { leaf: parsed(leaf(ROOT)), intermediates: [], anchors: [parsed(ROOT)], now: NOW }
  assert.equal(validatePath({ ...request, purposes }).length, 2)
  assert.throws(
    () => validatePath({ ...request, purposes: ['1.3.6.1.5.5.7.3.3'] }),
    failsWith('ext_key_usage'),
  )
})

test('validity is inclusive at both ends, in whole seconds', () => {
  const bot = parsed(leaf(ROOT, { notBefore: NOW, notAfter: NOW + 10 }))
  const at = (now: number) => () =>
    validatePath({ leaf: bot, intermediates: [], anchors: [parsed(ROOT)], now })
  for (const now of [NOW, NOW + 10, NOW + 10.9]) assert.equal(at(now)().length, 2)
  for (const now of [NOW - 0.1, NOW + 11, Number.NaN]) assert.throws(at(now), failsWith('expiry'))
})

test('a certificate with any one bit turned is refused, as itself or by its signature', () => {
  const made = leaf(ROOT)
  const anchors = [parsed(ROOT)]
  fc.assert(
    fc.property(fc.nat({ max: made.der.length * 8 - 1 }), (bit) => {
      const der = Buffer.from(made.der)
      der[bit >> 3] = (der[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.throws(
        () => validatePath({ leaf: parseCertificate(der), intermediates: [], anchors, now: NOW }),
        CertificateError,
      )
    }),
    { numRuns: 500 },
  )
})

test('bytes that are no certificate are refused, and never break the reader', () => {
  const good = leaf(ROOT).der
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.nat({ max: good.length - 1 }).map((length) => good.subarray(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 8 }).map((more) => Buffer.concat([good, more])),
  )
  fc.assert(
    fc.property(bytes, (der) => {
      assert.throws(() => parseCertificate(der), CertificateError)
    }),
    { numRuns: 1000 },
  )
})
