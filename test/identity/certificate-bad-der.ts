// What is no certificate in DER, or none of version 3 as RFC 5280 §4.1 writes them.
import type { CertificateCheck } from '../../src/identity/x509/certificate-error.ts'
import { having, named, ROOT, raw, withKey } from './certificate-bad.ts'
import {
  altName,
  der,
  ecKeys,
  extension,
  integer,
  intermediate,
  leaf,
  make,
  name,
  oid,
  sequence,
  text,
  uri,
} from './x509-maker.ts'

const INFO_ACCESS = '1.3.6.1.5.5.7.1.1'
const KEY_USAGE = '2.5.29.15'
const EKU = '2.5.29.37'
const CONSTRAINTS = '2.5.29.19'
const SPKI = ecKeys().publicKey.export({ format: 'der', type: 'spki' })
const OFF_CURVE = Buffer.concat([SPKI.subarray(0, -1), Buffer.from([(SPKI.at(-1) ?? 0) ^ 1])])

export const BAD_DER: readonly (readonly [title: string, check: CertificateCheck, () => Buffer])[] =
  [
    ['nothing', 'form', () => Buffer.alloc(0)],
    ['something behind it', 'form', () => Buffer.concat([having({}), Buffer.from([0])])],
    ['two certificates', 'form', () => Buffer.concat([having({}), having({})])],
    [
      'a length of indefinite form',
      'form',
      () => Buffer.concat([Buffer.from([0x30, 0x80]), having({}).subarray(4), Buffer.from([0, 0])]),
    ],
    [
      'a length in more octets than needed',
      'form',
      () => {
        const good = having({})
        return Buffer.concat([Buffer.from([0x30, 0x83, 0]), good.subarray(2)])
      },
    ],
    [
      'a length in five octets',
      'form',
      () => {
        const good = having({})
        return Buffer.concat([Buffer.from([0x30, 0x85, 0, 0, 0]), good.subarray(2)])
      },
    ],
    [
      'a boolean that is neither',
      'form',
      () => having({ unknown: sequence(oid('1.2.3'), der(1, Buffer.from([1])), der(4)) }),
    ],
    [
      'a criticality of FALSE written out',
      'form',
      () => having({ unknown: sequence(oid('1.2.3'), der(1, Buffer.from([0])), der(4)) }),
    ],
    [
      'an oid that is not minimal',
      'form',
      () => having({ unknown: sequence(Buffer.from('06032a8003', 'hex'), der(4)) }),
    ],
    [
      'an oid that ends too early',
      'form',
      () => having({ unknown: sequence(Buffer.from('06022a83', 'hex'), der(4)) }),
    ],
    ['an empty oid', 'form', () => having({ unknown: sequence(der(6), der(4)) })],
    [
      'an extension that is no sequence',
      'form',
      () => having({ unknown: der(0x31, oid('1.2.3'), der(4)) }),
    ],
    [
      'something behind an extension',
      'form',
      () => having({ unknown: sequence(oid('1.2.3'), der(4), der(5)) }),
    ],
    ['a tag number above 30', 'form', () => named(Buffer.from('9f1f00', 'hex'))],
    [
      'extensions that are none',
      'form',
      () => make({ extensions: { none: Buffer.alloc(0) } }, ROOT).der,
    ],
    ['no extensions', 'form', () => make({}, ROOT).der],
    [
      'unique identifiers',
      'form',
      () => leaf(ROOT, { beforeExtensions: der(0x81, Buffer.from([0, 1])) }).der,
    ],
    ['an issuer without a name', 'form', () => leaf(ROOT, { issuerName: name('') }).der],
    ['a name with an empty set', 'form', () => leaf(ROOT, { issuerName: sequence(der(0x31)) }).der],
    [
      'a name of no sets',
      'form',
      () => leaf(ROOT, { issuerName: sequence(sequence(oid('2.5.4.3'), text(0x0c, 'a'))) }).der,
    ],
    [
      'a name of no attributes',
      'form',
      () => leaf(ROOT, { issuerName: sequence(der(0x31, oid('2.5.4.3'))) }).der,
    ],
    [
      'a validity of three times',
      'form',
      () =>
        leaf(ROOT, {
          validity: sequence(
            text(0x17, '260101000000Z'),
            text(0x17, '290101000000Z'),
            text(0x17, '290101000000Z'),
          ),
        }).der,
    ],
    [
      'a time that is none',
      'form',
      () => leaf(ROOT, { validity: sequence(integer(1), text(0x17, '290101000000Z')) }).der,
    ],
    [
      'a time in another zone',
      'form',
      () =>
        leaf(ROOT, {
          validity: sequence(text(0x17, '260101000000+0100'), text(0x17, '290101000000Z')),
        }).der,
    ],
    [
      'the 60th second',
      'form',
      () =>
        leaf(ROOT, { validity: sequence(text(0x17, '260101000060Z'), text(0x17, '290101000000Z')) })
          .der,
    ],
    [
      'the year 10000',
      'form',
      () =>
        leaf(ROOT, {
          validity: sequence(text(0x17, '260101000000Z'), text(0x18, '100000101000000Z')),
        }).der,
    ],
    [
      'a version with something behind it',
      'form',
      () => leaf(ROOT, { version: der(0xa0, integer(2), integer(2)) }).der,
    ],
    [
      'version 3 in two octets',
      'form',
      () => leaf(ROOT, { version: der(0xa0, integer(0, 2)) }).der,
    ],
    [
      'a subject alternative name in no DER',
      'form',
      () => having({ subjectAltName: extension('2.5.29.17', Buffer.from('example.com')) }),
    ],
    ['a name of no kind', 'form', () => named(der(0x89, Buffer.from('a')))],
    [
      'a path length that is negative',
      'form',
      () =>
        intermediate(ROOT, {
          extensions: { basicConstraints: raw(CONSTRAINTS, '30060101ff0201ff', true) },
        }).der,
    ],
    [
      'a path length of five octets',
      'form',
      () =>
        intermediate(ROOT, {
          extensions: { basicConstraints: raw(CONSTRAINTS, '300a0101ff02050100000000', true) },
        }).der,
    ],
    [
      'something behind basic constraints',
      'form',
      () => having({ basicConstraints: raw(CONSTRAINTS, '30000500', true) }),
    ],
    [
      'a key usage with a zero at its end',
      'form',
      () => having({ keyUsage: raw(KEY_USAGE, '03020080', true) }),
    ],
    [
      'a key usage with bits set that are unused',
      'form',
      () => having({ keyUsage: raw(KEY_USAGE, '03020781', true) }),
    ],
    [
      'a purpose that is no oid',
      'form',
      () => having({ extKeyUsage: extension(EKU, sequence(integer(1))) }),
    ],
    [
      'an info access in no DER',
      'form',
      () => having({ access: extension(INFO_ACCESS, Buffer.from('malformed')) }),
    ],
    [
      'an info access that is no sequence',
      'form',
      () => having({ access: extension(INFO_ACCESS, sequence(der(5))) }),
    ],
    ['a point beside its curve', 'form', () => withKey(OFF_CURVE)],
    [
      'a key of bits that fill no octets',
      'form',
      () => withKey(Buffer.concat([SPKI.subarray(0, 25), Buffer.from([1]), SPKI.subarray(26)])),
    ],
    [
      'a CA without a name, whatever else names it',
      'form',
      () =>
        intermediate(ROOT, {
          subject: '',
          extensions: { names: altName([uri('spiffe://corp.test')], true) },
        }).der,
    ],
  ]
