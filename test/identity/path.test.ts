import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Certificate, parseCertificate } from '../../src/identity/certificate.ts'
import { CertificateError } from '../../src/identity/certificate-error.ts'
import { validatePath } from '../../src/identity/path.ts'
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

test('a hundred intermediates of one name and key, or one name and many keys, cost little', () => {
  const one = ecKeys()
  const shapes: Record<string, () => { subject: string; keys: ReturnType<typeof ecKeys> }> = {
    'one name, one key': () => ({ subject: 'same', keys: one }),
    'one name, many keys': () => ({ subject: 'same', keys: ecKeys() }),
  }
  for (const [shape, plan] of Object.entries(shapes)) {
    const untrusted = root({ subject: 'same', keys: one })
    // No key identifiers to choose by: every one may have issued every other.
    const issued = Array.from({ length: 100 }, () => {
      const issuer = { ...untrusted, keys: one }
      return intermediate(issuer, {
        ...plan(),
        extensions: { authorityKeyId: authorityKeyId(one) },
      })
    })
    const { count, counting } = counted([leaf(untrusted), ...issued].map(parsed))
    const [bot, ...intermediates] = counting
    assert.ok(bot !== undefined)
    const request = { leaf: bot, intermediates, anchors: [parsed(ROOT)], now: NOW }
    assert.throws(() => validatePath(request), CertificateError)
    assert.ok(count.checks <= 100, `${shape}: ${count.checks} signatures checked`)
  }
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
