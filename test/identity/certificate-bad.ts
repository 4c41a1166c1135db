// What one certificate must not say, told apart from what a path asks of it.
import type { CertificateCheck } from '../../src/identity/x509/certificate-error.ts'
import {
  altName,
  basicConstraints,
  der,
  dns,
  ecKeys,
  extension,
  ID,
  integer,
  intermediate,
  keyUsage,
  leaf,
  oid,
  type Plan,
  root,
  sequence,
  text,
  uri,
} from './x509-maker.ts'

export const ROOT = root({ subject: 'the root' })
export const having = (extensions: Plan['extensions']) =>
  leaf(ROOT, { extensions: extensions ?? {} }).der
export const named = (...names: readonly Uint8Array[]) =>
  having({ subjectAltName: altName([uri(ID), ...names]) })
export const raw = (id: string, hex: string, critical = false) =>
  extension(id, Buffer.from(hex, 'hex'), critical)
const INFO_ACCESS = '1.3.6.1.5.5.7.1.1'
const AKI = '2.5.29.35'
const KEY_USAGE = '2.5.29.15'
const _EKU = '2.5.29.37'
const _CONSTRAINTS = '2.5.29.19'

export const withKey = (keyInfo: Buffer) => leaf(ROOT, { keyInfo }).der
const SPKI = ecKeys().publicKey.export({ format: 'der', type: 'spki' })
const COMPRESSED = Buffer.concat([
  Buffer.from('3039301306072a8648ce3d020106082a8648ce3d03010703220002', 'hex'),
  SPKI.subarray(27, 59),
])
const _OFF_CURVE = Buffer.concat([SPKI.subarray(0, -1), Buffer.from([(SPKI.at(-1) ?? 0) ^ 1])])

const FULL = Buffer.alloc(256, 0xff)

/** Nobody needs its private half: what is looked at is its size and its exponent. */
function rsaKey(modulus: Buffer, ...exponent: readonly number[]): Buffer {
  const sign = (modulus[0] ?? 0) >= 0x80 ? [0] : []
  const key = sequence(der(2, Buffer.from(sign), modulus), integer(...exponent))
  return sequence(sequence(oid('1.2.840.113549.1.1.1'), der(5)), der(3, Buffer.from([0]), key))
}

/** Certificates that are DER, and still not allowed. */
export const BAD_CERTIFICATES: readonly (readonly [
  title: string,
  check: CertificateCheck,
  () => Buffer,
])[] = [
  ['more than 16 KiB', 'bounds', () => Buffer.alloc(16 * 1024 + 1)],
  [
    'too many extensions',
    'bounds',
    () =>
      having(
        Object.fromEntries(
          Array.from({ length: 30 }, (_, i) => [`x${i}`, extension(`1.2.3.${i}`, der(5))]),
        ),
      ),
  ],
  [
    'a subject alternative name of no names',
    'extension',
    () => having({ subjectAltName: altName([]) }),
  ],
  [
    'more than 128 names',
    'bounds',
    () => named(...Array.from({ length: 128 }, (_, i) => dns(`a${i}.test`))),
  ],
  ['an address of five octets', 'extension', () => named(der(0x87, Buffer.alloc(5)))],
  ['an address as a DNS name', 'extension', () => named(dns('192.0.2.1'))],
  ['an empty DNS name', 'extension', () => named(dns(''))],
  ['a DNS name with a dot in front', 'extension', () => named(dns('.example.com'))],
  ['a DNS name with a dot at the end', 'extension', () => named(dns('example.com.'))],
  ['a star in the middle', 'extension', () => named(dns('a.*.example.com'))],
  ['a star in a label', 'extension', () => named(dns('ba*.example.com'))],
  ['a DNS name outside ASCII', 'extension', () => named(dns('bücher.example'))],
  ['a DNS name of 254 characters', 'extension', () => named(dns(`${'a.'.repeat(126)}ab`))],
  ['a mailbox with a NUL', 'extension', () => named(text(0x81, 'a@b.test\0'))],
  ['an empty URI', 'extension', () => named(uri(''))],
  [
    'a path length without keyCertSign',
    'key_usage',
    () =>
      intermediate(ROOT, {
        extensions: { basicConstraints: basicConstraints(true, 0), keyUsage: keyUsage([6]) },
      }).der,
  ],
  [
    'a key usage that does not exist',
    'extension',
    () => having({ keyUsage: raw(KEY_USAGE, '0303068040', true) }),
  ],
  [
    'an empty key identifier',
    'extension',
    () => having({ subjectKeyId: extension('2.5.29.14', der(4)) }),
  ],
  [
    'an authority key identifier without one',
    'extension',
    () => having({ authorityKeyId: raw(AKI, '3000') }),
  ],
  [
    'an empty authority key identifier',
    'extension',
    () => having({ authorityKeyId: raw(AKI, '30028000') }),
  ],
  [
    'an authority named by serial number',
    'extension',
    () => having({ authorityKeyId: raw(AKI, '3006800101820101') }),
  ],
  [
    'an info access to nothing',
    'extension',
    () => having({ access: extension(INFO_ACCESS, sequence()) }),
  ],
  [
    'a critical info access',
    'extension',
    () =>
      having({
        access: extension(
          INFO_ACCESS,
          sequence(sequence(oid('1.3.6.1.5.5.7.48.2'), uri('http://a.test'))),
          true,
        ),
      }),
  ],
  [
    'a critical authority key identifier',
    'extension',
    () => having({ authorityKeyId: raw(AKI, '3003800101', true) }),
  ],
  [
    'name constraints in a leaf',
    'name_constraints',
    () => having({ constraints: extension('2.5.29.30', sequence(), true) }),
  ],
  [
    'policy constraints that are not critical',
    'extension',
    () => having({ constraints: raw('2.5.29.36', '3003800100') }),
  ],
  ['policy mappings', 'extension', () => having({ mappings: raw('2.5.29.33', '3000') })],
  [
    'an inhibited any-policy',
    'extension',
    () => having({ inhibit: raw('2.5.29.54', '020100', true) }),
  ],
  ['a compressed point', 'key', () => withKey(COMPRESSED)],
  [
    'an RSA key of 2049 bits',
    'key',
    () =>
      withKey(rsaKey(Buffer.concat([Buffer.from([1]), Buffer.alloc(256, 0xff)]), 0x01, 0, 0x01)),
  ],
  ['an even RSA exponent', 'key', () => withKey(rsaKey(FULL, 1, 0, 2))],
  ['an RSA exponent above 32 bits', 'key', () => withKey(rsaKey(FULL, 1, 0, 0, 0, 1))],
  ['an RSA key of 8200 bits', 'key', () => withKey(rsaKey(Buffer.alloc(1025, 0xff), 1, 0, 1))],
  [
    'a key usage of no bits at all',
    'extension',
    () => having({ keyUsage: raw(KEY_USAGE, '030100', true) }),
  ],
]
