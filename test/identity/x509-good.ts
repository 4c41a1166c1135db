// Chains that have to be believed.
import {
  altName,
  basicConstraints,
  der,
  dns,
  ecKeys,
  edKeys,
  extension,
  ID,
  intermediate,
  leaf,
  NOW,
  root,
  rsaKeys,
  uri,
} from './x509-maker.ts'
import {
  type ChainCase,
  CORP,
  having,
  OTHER,
  only,
  pss,
  RSA_ROOT,
  UNKNOWN,
  under,
  via,
} from './x509-scene.ts'

const middle = intermediate(CORP, { subject: 'middle' })
const second = intermediate(middle, { subject: 'second' })
const narrow = intermediate(CORP, { extensions: { basicConstraints: basicConstraints(true, 0) } })
const rolled = intermediate(narrow, { subject: 'intermediate' })
const ofOther = intermediate(OTHER, { subject: 'of other' })

export const GOOD: readonly ChainCase[] = [
  { title: 'signed by the authority', chain: only({}) },
  { title: 'through one intermediate', chain: via() },
  { title: 'through two intermediates', chain: [leaf(second), second, middle] },
  { title: 'with the intermediates in any order', chain: [leaf(second), middle, second] },
  { title: 'with the root sent along', chain: [...via(), CORP] },
  { title: 'with an intermediate that leads nowhere beside', chain: [...via(), ofOther] },
  {
    title: 'with an expired twin of its intermediate beside',
    chain: [
      leaf(middle),
      intermediate(CORP, { subject: 'middle', keys: middle.keys, notAfter: NOW - 60 }),
      middle,
    ],
  },
  {
    title: 'through a self-issued intermediate, which no path length counts',
    chain: [leaf(rolled), rolled, narrow],
  },
  {
    title: 'without a subject, its name critical',
    chain: only({ subject: '', extensions: { subjectAltName: altName([uri(ID)], true) } }),
  },
  { title: 'without an extended key usage', chain: having({ extKeyUsage: undefined }) },
  { title: 'without basic constraints', chain: having({ basicConstraints: undefined }) },
  {
    title: 'with DNS names, which say nothing',
    chain: having({ subjectAltName: altName([dns('bot.corp.test'), uri(ID)]) }),
  },
  {
    title: 'with an unknown extension that is not critical',
    chain: having({ unknown: extension(UNKNOWN, der(5)) }),
  },
  { title: 'with an RSA key', chain: only({ keys: rsaKeys() }) },
  { title: 'with a P-384 key', chain: only({ keys: ecKeys('P-384'), digest: 'SHA-384' }) },
  { title: 'with a P-521 key', chain: only({ keys: ecKeys('P-521'), digest: 'SHA-512' }) },
  { title: 'with an Ed25519 key', chain: only({ keys: edKeys() }) },
  { title: 'signed with RSA', ...under(RSA_ROOT) },
  { title: 'signed with RSA-PSS', ...under(RSA_ROOT, pss(RSA_ROOT, 32)) },
  { title: 'signed with Ed25519', ...under(root({ subject: 'ed root', keys: edKeys() })) },
  {
    title: 'of an authority with the name of its trust domain',
    ...under(
      root({ subject: 'named root', extensions: { san: altName([uri('spiffe://corp.test')]) } }),
    ),
  },
  { title: 'valid since this second', chain: only({ notBefore: NOW }) },
]
