// Certificates that are none, and algorithms that are too weak.
import {
  altName,
  basicConstraints,
  der,
  ecKeys,
  extension,
  ID,
  integer,
  oid,
  root,
  rsaKeys,
  sequence,
  subjectKeyId,
  uri,
} from './x509-maker.ts'
import {
  authorityHaving,
  type ChainCase,
  CORP,
  having,
  only,
  pss,
  RSA_ROOT,
  UNKNOWN,
  under,
  via,
} from './x509-scene.ts'

export const BAD_FORMS: readonly ChainCase[] = [
  // the form
  {
    title: 'with an extension twice',
    check: 'certificate',
    chain: having({ twice: altName([uri(ID)]) }),
  },
  {
    title: 'with an unknown critical extension',
    check: 'certificate',
    chain: having({ unknown: extension(UNKNOWN, der(5), true) }),
  },
  {
    title: 'under an intermediate with an unknown critical extension',
    check: 'certificate',
    chain: authorityHaving({ unknown: extension(UNKNOWN, der(5), true) }),
  },
  {
    title: 'with critical policies',
    check: 'certificate',
    stricter: 'policies are not evaluated',
    chain: having({ policies: extension('2.5.29.32', sequence(sequence(oid('1.2.3.4'))), true) }),
  },
  {
    title: 'under an intermediate with policy constraints',
    check: 'certificate',
    stricter: 'policies are not evaluated',
    chain: authorityHaving({
      constraints: extension('2.5.29.36', sequence(der(0x81, Buffer.from([5]))), true),
    }),
  },
  {
    title: 'with a critical key identifier',
    check: 'certificate',
    chain: having({ subjectKeyId: subjectKeyId(CORP.keys, true) }),
  },
  { title: 'of version 1', check: 'certificate', chain: only({ version: Buffer.alloc(0) }) },
  { title: 'of version 2', check: 'certificate', chain: only({ version: der(0xa0, integer(1)) }) },
  {
    title: 'of version 4',
    check: 'certificate',
    stricter: 'version 3',
    chain: only({ version: der(0xa0, integer(3)) }),
  },
  {
    title: 'with the serial number 0',
    check: 'certificate',
    stricter: 'RFC 5280 §4.1.2.2',
    chain: only({ serial: integer(0) }),
  },
  {
    title: 'with a negative serial number',
    check: 'certificate',
    stricter: 'RFC 5280 §4.1.2.2',
    chain: only({ serial: integer(0x80, 1) }),
  },
  {
    title: 'with a serial number of 21 octets',
    check: 'certificate',
    stricter: 'RFC 5280 §4.1.2.2',
    chain: only({ serial: der(2, Buffer.alloc(21, 1)) }),
  },
  {
    title: 'with a serial number that is not minimal',
    check: 'certificate',
    chain: only({ serial: integer(0, 1) }),
  },
  {
    title: 'with cA=FALSE written out',
    check: 'certificate',
    stricter: 'DER: no defaults',
    chain: having({
      basicConstraints: extension('2.5.29.19', sequence(der(1, Buffer.from([0]))), true),
    }),
  },
  {
    title: 'with a path length in a leaf',
    check: 'certificate',
    chain: having({ basicConstraints: basicConstraints(false, 0) }),
  },
  // the algorithms
  {
    title: 'signed with SHA-1',
    check: 'algorithm',
    stricter: 'no SHA-1',
    chain: only({ digest: 'SHA-1' }),
  },
  {
    title: 'under an intermediate signed with SHA-1',
    check: 'algorithm',
    stricter: 'no SHA-1',
    chain: via({ digest: 'SHA-1' }),
  },
  {
    title: 'with two signature algorithms',
    check: 'algorithm',
    chain: only({ outerAlgorithm: sequence(oid('1.2.840.10045.4.3.3')) }),
  },
  {
    title: 'signed with RSA-PSS and a salt of another length',
    check: 'algorithm',
    stricter: 'the salt is as long as the hash',
    ...under(RSA_ROOT, pss(RSA_ROOT, 20)),
  },
  {
    title: 'with an RSA key of 1024 bits',
    check: 'key',
    stricter: 'RSA from 2048 bits',
    chain: only({ keys: rsaKeys(1024) }),
  },
  {
    title: 'under an intermediate with an RSA key of 1024 bits',
    check: 'key',
    stricter: 'RSA from 2048 bits',
    chain: via({ keys: rsaKeys(1024) }),
  },
  {
    title: 'under an authority with an RSA key of 1024 bits',
    check: 'chain',
    stricter: 'RSA from 2048 bits',
    ...under(root({ subject: 'weak root', keys: rsaKeys(1024) })),
  },
  {
    title: 'with an RSA exponent of 3',
    check: 'key',
    stricter: 'RSA exponents from 65537',
    chain: only({ keys: rsaKeys(2048, 3) }),
  },
  {
    title: 'with a key on secp256k1',
    check: 'key',
    stricter: 'P-256, P-384, P-521',
    chain: only({ keys: ecKeys('secp256k1') }),
  },
]
