import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCertificate } from '../../src/identity/x509/certificate.ts'
import { CertificateError } from '../../src/identity/x509/certificate-error.ts'
import { BAD_CERTIFICATES, having, ROOT } from './certificate-bad.ts'
import { BAD_DER } from './certificate-bad-der.ts'
import {
  altName,
  basicConstraints,
  der,
  dns,
  ecKeys,
  edKeys,
  extKeyUsage,
  ID,
  intermediate,
  NOW,
  name,
  root,
  rsaKeys,
  text,
  uri,
} from './x509-maker.ts'

for (const [title, check, bytes] of [...BAD_DER, ...BAD_CERTIFICATES]) {
  test(`no certificate: ${title}`, () => {
    assert.throws(
      () => parseCertificate(bytes()),
      (error) => {
        assert.ok(error instanceof CertificateError, String(error))
        assert.equal(error.check, check, error.message)
        return true
      },
    )
  })
}

test('a certificate is read as it was written', () => {
  const keys = ecKeys()
  const made = intermediate(ROOT, {
    keys,
    notBefore: NOW,
    notAfter: Date.UTC(2060, 1, 29, 23, 59, 59) / 1000,
    extensions: {
      basicConstraints: basicConstraints(true, 300),
      extKeyUsage: extKeyUsage('1.3.6.1.5.5.7.3.2', '2.999.1'),
      names: altName([
        uri(ID),
        dns('*.corp.test'),
        text(0x81, 'a@corp.test'),
        der(0xa4, name('a')),
      ]),
    },
  })
  const read = parseCertificate(made.der)
  assert.deepEqual(Buffer.from(read.subject), made.name)
  assert.deepEqual(Buffer.from(read.issuer), ROOT.name)
  assert.deepEqual([read.notBefore, read.notAfter], [NOW, Date.UTC(2060, 1, 29, 23, 59, 59) / 1000])
  assert.deepEqual(read.basicConstraints, { critical: true, ca: true, pathLength: 300 })
  assert.deepEqual([...(read.keyUsage?.bits ?? [])], [5, 6])
  assert.deepEqual(read.extKeyUsage, ['1.3.6.1.5.5.7.3.2', '2.999.1'])
  assert.deepEqual([read.uriSans, read.dnsSans], [[ID], ['*.corp.test']])
  assert.ok(read.publicKey.equals(keys.publicKey))
  const parent = parseCertificate(ROOT.der)
  assert.deepEqual(read.authorityKeyId, parent.subjectKeyId)
  assert.deepEqual([read.signatureVerifies(parent), parent.signatureVerifies(read)], [true, false])
})

test('a certificate keeps its bytes, whatever becomes of those it was read from', () => {
  const bytes = Buffer.from(having({}))
  const read = parseCertificate(bytes)
  const { thumbprint } = read
  const subject = Buffer.from(read.subject)
  bytes.fill(0)
  assert.deepEqual(Buffer.from(read.subject), subject)
  assert.equal(parseCertificate(read.der).thumbprint, thumbprint)
})

test('no message of a refusal holds a part of the certificate', () => {
  const secret = 'spiffe://corp.test/agents/not-to-be-told'
  const made = having({ subjectAltName: altName([uri(secret), dns('-')]) })
  assert.throws(
    () => parseCertificate(made),
    (error) => error instanceof CertificateError && !error.message.includes('not-to-be-told'),
  )
})

test('a signature is verified by a key of its own kind only', () => {
  const rsa = parseCertificate(root({ keys: rsaKeys() }).der)
  const ec = parseCertificate(ROOT.der)
  const ed = parseCertificate(root({ keys: edKeys() }).der)
  for (const one of [rsa, ec, ed]) {
    for (const other of [rsa, ec, ed]) assert.equal(one.signatureVerifies(other), one === other)
  }
})
