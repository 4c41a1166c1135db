// Leaves that are no SVIDs: whom they name, what for, and when.
import {
  altName,
  basicConstraints,
  CLIENT_AUTH,
  dns,
  extKeyUsage,
  ID,
  intermediate,
  keyUsage,
  leaf,
  NOW,
  root,
  SERVER_AUTH,
  sequence,
  subjectKeyId,
  text,
  uri,
} from './x509-maker.ts'
import {
  authorityHaving,
  type ChainCase,
  CORP,
  having,
  OTHER,
  only,
  under,
  via,
} from './x509-scene.ts'

const ofOther = intermediate(OTHER, { subject: 'of other' })

export const BAD_LEAVES: readonly ChainCase[] = [
  // who
  {
    title: 'of corp.test, by the authority of other.test',
    check: 'chain',
    stricter: 'a path ends in the bundle of the trust domain that the leaf names',
    chain: [leaf(OTHER)],
  },
  {
    title: 'of corp.test, by an intermediate of other.test',
    check: 'chain',
    stricter: 'a path ends in the bundle of the trust domain that the leaf names',
    chain: [leaf(ofOther), ofOther],
  },
  {
    title: 'of other.test, by the authority of corp.test',
    check: 'chain',
    stricter: 'a path ends in the bundle of the trust domain that the leaf names',
    chain: having({ subjectAltName: altName([uri('spiffe://other.test/bot')]) }),
  },
  {
    title: 'without a URI SAN',
    check: 'uri_san',
    stricter: 'exactly one URI SAN',
    chain: having({ subjectAltName: altName([dns('bot.corp.test')]) }),
  },
  {
    title: 'without a subject alternative name',
    check: 'uri_san',
    stricter: 'exactly one URI SAN',
    chain: having({ subjectAltName: undefined }),
  },
  {
    title: 'with two URI SANs',
    check: 'uri_san',
    stricter: 'exactly one URI SAN',
    chain: having({ subjectAltName: altName([uri(ID), uri('spiffe://corp.test/other')]) }),
  },
  {
    title: 'with one URI SAN twice',
    check: 'uri_san',
    stricter: 'exactly one URI SAN',
    chain: having({ subjectAltName: altName([uri(ID), uri(ID)]) }),
  },
  {
    title: 'with a second URI SAN that is no SPIFFE ID',
    check: 'uri_san',
    stricter: 'exactly one URI SAN',
    chain: having({ subjectAltName: altName([uri(ID), uri('https://corp.test/')]) }),
  },
  {
    title: 'with a URI SAN of another scheme',
    check: 'spiffe_id',
    stricter: 'the URI SAN is a SPIFFE ID',
    chain: having({ subjectAltName: altName([uri('https://corp.test/bot')]) }),
  },
  {
    title: 'with the bare name of the trust domain',
    check: 'spiffe_id',
    stricter: 'a workload has a path',
    chain: having({ subjectAltName: altName([uri('spiffe://corp.test')]) }),
  },
  {
    title: 'with a SPIFFE ID in capitals',
    check: 'spiffe_id',
    stricter: 'the SPIFFE ID in its one spelling',
    chain: having({ subjectAltName: altName([uri('spiffe://CORP.test/bot')]) }),
  },
  {
    title: 'with a NUL in its SPIFFE ID',
    check: 'certificate',
    stricter: 'names have no control characters',
    chain: having({ subjectAltName: altName([uri(`${ID}\0.evil.test`)]) }),
  },
  {
    title: 'with a DNS name that is none',
    check: 'certificate',
    stricter: 'DNS names in preferred syntax',
    chain: having({ subjectAltName: altName([uri(ID), dns('under_score.test')]) }),
  },
  {
    title: 'of an authority with the name of another trust domain',
    check: 'uri_san',
    stricter: 'an authority signs for its own trust domain',
    chain: authorityHaving({ san: altName([uri('spiffe://other.test')]) }),
  },
  {
    title: 'of an authority with two URI SANs',
    check: 'uri_san',
    stricter: 'an authority signs for its own trust domain',
    chain: authorityHaving({
      san: altName([uri('spiffe://corp.test'), uri('spiffe://corp.test/a')]),
    }),
  },
  {
    title: 'without a subject, its name not critical',
    check: 'certificate',
    chain: only({ subject: '' }),
  },
  // what for
  {
    title: 'a CA as the leaf',
    check: 'chain',
    stricter: 'a leaf is no CA',
    chain: having({
      basicConstraints: basicConstraints(true),
      keyUsage: keyUsage([0]),
      subjectKeyId: subjectKeyId(CORP.keys),
    }),
  },
  {
    title: 'without key usage',
    check: 'key_usage',
    stricter: 'a critical key usage',
    chain: having({ keyUsage: undefined }),
  },
  {
    title: 'with a key usage that is not critical',
    check: 'key_usage',
    stricter: 'a critical key usage',
    chain: having({ keyUsage: keyUsage([0], false) }),
  },
  {
    title: 'without digitalSignature',
    check: 'key_usage',
    chain: having({ keyUsage: keyUsage([2]) }),
  },
  { title: 'with keyCertSign', check: 'key_usage', chain: having({ keyUsage: keyUsage([0, 5]) }) },
  {
    title: 'with cRLSign',
    check: 'key_usage',
    stricter: 'a leaf signs no revocation lists',
    chain: having({ keyUsage: keyUsage([0, 6]) }),
  },
  {
    title: 'with a key usage of no bits',
    check: 'certificate',
    chain: having({ keyUsage: keyUsage([]) }),
  },
  {
    title: 'for servers only',
    check: 'key_usage',
    chain: having({ extKeyUsage: extKeyUsage(SERVER_AUTH) }),
  },
  {
    title: 'for clients only',
    check: 'key_usage',
    stricter: 'an SVID is for both sides',
    chain: having({ extKeyUsage: extKeyUsage(CLIENT_AUTH) }),
  },
  {
    title: 'for signing code',
    check: 'key_usage',
    chain: having({ extKeyUsage: extKeyUsage('1.3.6.1.5.5.7.3.3') }),
  },
  {
    title: 'for any purpose',
    check: 'key_usage',
    chain: having({ extKeyUsage: extKeyUsage('2.5.29.37.0') }),
  },
  { title: 'for no purpose', check: 'certificate', chain: having({ extKeyUsage: extKeyUsage() }) },
  {
    title: 'of an authority for signing code',
    check: 'key_usage',
    chain: authorityHaving({ extKeyUsage: extKeyUsage('1.3.6.1.5.5.7.3.3') }),
  },
  {
    title: 'of an authority for clients only',
    check: 'key_usage',
    stricter: 'an SVID is for both sides',
    chain: authorityHaving({ extKeyUsage: extKeyUsage(CLIENT_AUTH) }),
  },
  // when
  { title: 'an expired leaf', check: 'expiry', chain: only({ notAfter: NOW - 1 }) },
  { title: 'a leaf that expires this second', check: 'expiry', chain: only({ notAfter: NOW }) },
  { title: 'a leaf not yet valid', check: 'expiry', chain: only({ notBefore: NOW + 1 }) },
  { title: 'an expired intermediate', check: 'expiry', chain: via({ notAfter: NOW - 1 }) },
  { title: 'an intermediate not yet valid', check: 'expiry', chain: via({ notBefore: NOW + 1 }) },
  {
    title: 'an expired authority',
    check: 'expiry',
    ...under(root({ subject: 'old root', notAfter: NOW - 1 })),
  },
  {
    title: 'an authority not yet valid',
    check: 'expiry',
    ...under(root({ subject: 'early root', notBefore: NOW + 1 })),
  },
  {
    title: 'a validity that ends before it begins',
    check: 'certificate',
    chain: only({ notBefore: NOW + 60, notAfter: NOW - 60 }),
  },
  {
    title: 'a GeneralizedTime before 2050',
    check: 'certificate',
    stricter: 'RFC 5280 §4.1.2.5',
    chain: only({
      validity: sequence(text(0x18, '20260101000000Z'), text(0x18, '20290101000000Z')),
    }),
  },
  {
    title: 'a time without seconds',
    check: 'certificate',
    chain: only({ validity: sequence(text(0x17, '2601010000Z'), text(0x17, '290101000000Z')) }),
  },
  {
    title: 'a time with a fraction',
    check: 'certificate',
    chain: only({
      validity: sequence(text(0x18, '20260101000000.5Z'), text(0x17, '290101000000Z')),
    }),
  },
  {
    title: 'the 31st of February',
    check: 'certificate',
    chain: only({ validity: sequence(text(0x17, '260231000000Z'), text(0x17, '290101000000Z')) }),
  },
]
