// Paths that lead nowhere, or through somebody who may not vouch.
import {
  altName,
  authorityKeyId,
  basicConstraints,
  der,
  ecKeys,
  extension,
  ID,
  intermediate,
  keyUsage,
  leaf,
  make,
  name,
  root,
  sequence,
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

const middle = intermediate(CORP, { subject: 'middle' })
const narrow = intermediate(CORP, { extensions: { basicConstraints: basicConstraints(true, 0) } })
const below = intermediate(narrow, { subject: 'below' })
const falsely = leaf(CORP, { signingKeys: ecKeys() })
const circle = { keys: ecKeys(), subject: 'circle' }
const circleOther = intermediate(
  { ...CORP, name: name('circle'), keys: circle.keys },
  { subject: 'back' },
)
const circleBack = intermediate(circleOther, circle)

export const BAD_PATHS: readonly ChainCase[] = [
  // the path
  { title: 'by nobody known', check: 'chain', chain: [leaf(root({ subject: 'nobody' }))] },
  {
    title: 'by a stranger with the name of the authority',
    check: 'chain',
    chain: [leaf(root({ subject: 'corp root' }))],
  },
  {
    title: 'by a stranger with the name and key identifier of the authority',
    check: 'signature',
    chain: [falsely],
  },
  {
    title: 'self-signed',
    check: 'chain',
    chain: [
      make(
        {
          subject: 'bot',
          extensions: {
            keyUsage: keyUsage([0]),
            subjectAltName: altName([uri(ID)]),
            authorityKeyId: authorityKeyId(CORP.keys),
          },
        },
        undefined,
      ),
    ],
  },
  { title: 'without its intermediate', check: 'chain', chain: [leaf(middle)] },
  { title: 'in a circle', check: 'chain', chain: [leaf(circleBack), circleBack, circleOther] },
  {
    title: 'under a leaf',
    check: 'chain',
    chain: authorityHaving({ basicConstraints: basicConstraints(false), keyUsage: keyUsage([0]) }),
  },
  {
    title: 'under an intermediate without basic constraints',
    check: 'chain',
    chain: authorityHaving({ basicConstraints: undefined, keyUsage: keyUsage([0]) }),
  },
  {
    title: 'under an intermediate whose basic constraints are not critical',
    check: 'chain',
    chain: authorityHaving({ basicConstraints: basicConstraints(true, undefined, false) }),
  },
  {
    title: 'under an intermediate without keyCertSign',
    check: 'key_usage',
    chain: authorityHaving({ keyUsage: keyUsage([6]) }),
  },
  {
    title: 'under an intermediate without key usage',
    check: 'key_usage',
    chain: authorityHaving({ keyUsage: undefined }),
  },
  {
    title: 'under an intermediate without a subject key identifier',
    check: 'chain',
    chain: authorityHaving({ subjectKeyId: undefined }),
  },
  {
    title: 'under an intermediate without an authority key identifier',
    check: 'chain',
    chain: authorityHaving({ authorityKeyId: undefined }),
  },
  {
    title: 'without an authority key identifier',
    check: 'chain',
    chain: having({ authorityKeyId: undefined }),
  },
  {
    title: 'with the key identifier of another authority',
    check: 'chain',
    chain: having({ authorityKeyId: authorityKeyId(OTHER.keys) }),
  },
  {
    title: 'with more intermediates than the authority allows',
    check: 'chain',
    chain: [leaf(below), below, narrow],
  },
  {
    title: 'with the name of the issuer spelt otherwise',
    check: 'chain',
    stricter: 'names are compared as bytes',
    chain: only({ issuerName: name('CORP root') }),
  },
  {
    title: 'under an intermediate without a name',
    check: 'certificate',
    chain: via({ subject: '', extensions: { san: altName([uri('spiffe://corp.test')], true) } }),
  },
  {
    title: 'under an intermediate with name constraints',
    check: 'chain',
    stricter: 'name constraints are not evaluated',
    chain: authorityHaving({
      constraints: extension(
        '2.5.29.30',
        sequence(der(0xa0, sequence(text(0x86, 'corp.test')))),
        true,
      ),
    }),
  },
  {
    title: 'under an intermediate with name constraints that are not critical',
    check: 'chain',
    stricter: 'name constraints are not evaluated',
    chain: authorityHaving({
      constraints: extension('2.5.29.30', sequence(der(0xa0, sequence(text(0x86, 'corp.test'))))),
    }),
  },
  {
    title: 'under an authority that another has signed, without an authority key identifier',
    check: 'chain',
    ...under(intermediate(CORP, { subject: 'cross', extensions: { authorityKeyId: undefined } })),
  },
  {
    title: 'under a root whose key identifiers differ',
    check: 'chain',
    ...under(
      root({ subject: 'odd root', extensions: { authorityKeyId: authorityKeyId(CORP.keys) } }),
    ),
  },
]
