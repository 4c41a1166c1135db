// What the runner decides, on cases made here: the corpus itself may be absent.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  altName,
  CLIENT_AUTH,
  der,
  dns,
  extension,
  extKeyUsage,
  intermediate,
  leaf,
  type Made,
  NOW,
  oid,
  type Plan,
  pem,
  root,
  SERVER_AUTH,
  sequence,
} from '../identity/x509-maker.ts'
import { judge, run } from './x509-limbo.ts'

type Case = Parameters<typeof judge>[0][number]

const ROOT = root()
const name = altName([dns('example.com')])
const server = extKeyUsage(SERVER_AUTH)

function serverLeaf(plan: Plan = {}, issuer: Made = ROOT): Made {
  const extensions = { subjectAltName: name, extKeyUsage: server, ...plan.extensions }
  return leaf(issuer, { subject: 'example.com', ...plan, extensions })
}

function caseOf(changes: Partial<Case>, peer: Made = serverLeaf()): Case {
  return {
    id: 'rfc5280::made-here',
    features: [],
    validation_kind: 'SERVER',
    trusted_certs: [pem(ROOT)],
    untrusted_intermediates: [],
    peer_certificate: pem(peer),
    validation_time: new Date(NOW * 1000).toISOString(),
    signature_algorithms: [],
    key_usage: [],
    extended_key_usage: [],
    expected_result: 'SUCCESS',
    expected_peer_name: { kind: 'DNS', value: 'example.com' },
    expected_peer_names: [],
    max_chain_depth: null,
    crls: [],
    ...changes,
  }
}

const web = { id: 'webpki::made-here' }
const middle = intermediate(ROOT)
const under = { untrusted_intermediates: [pem(middle)] }

const ACCEPTED: readonly (readonly [string, Case])[] = [
  ['a server', caseOf({})],
  ['a server by the rules of the web', caseOf(web)],
  ['a server below an intermediate', caseOf(under, serverLeaf({}, middle))],
  [
    'an intermediate that cannot be read, where none is needed',
    caseOf({
      untrusted_intermediates: ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'],
    }),
  ],
  [
    'a name by a star',
    caseOf(
      { expected_peer_name: { kind: 'DNS', value: 'a.example.com' } },
      serverLeaf({ extensions: { subjectAltName: altName([dns('*.example.com')]) } }),
    ),
  ],
  [
    'an address',
    caseOf(
      { expected_peer_name: { kind: 'IP', value: '127.0.0.1' } },
      serverLeaf({
        extensions: { subjectAltName: altName([der(0x87, Buffer.from([127, 0, 0, 1]))]) },
      }),
    ),
  ],
  [
    'an address that the case calls a DNS name',
    caseOf(
      { expected_peer_name: { kind: 'DNS', value: '127.0.0.1' } },
      serverLeaf({
        extensions: { subjectAltName: altName([der(0x87, Buffer.from([127, 0, 0, 1]))]) },
      }),
    ),
  ],
  [
    'a client',
    caseOf(
      {
        validation_kind: 'CLIENT',
        expected_peer_name: null,
        expected_peer_names: [{ kind: 'DNS', value: 'example.com' }],
      },
      serverLeaf({ extensions: { extKeyUsage: extKeyUsage(CLIENT_AUTH) } }),
    ),
  ],
  ['a key usage that is asked for', caseOf({ key_usage: ['digitalSignature'] })],
  ['a depth that is enough', caseOf({ ...under, max_chain_depth: 1 }, serverLeaf({}, middle))],
  ['no policies understood, and none asked for', caseOf({ features: ['no-cert-policies'] })],
  [
    'a common name that is its address',
    caseOf(
      { id: 'webpki::cn::made-here', expected_peer_name: { kind: 'IP', value: '2001:db8::1' } },
      serverLeaf({
        subject: '2001:db8::1',
        extensions: {
          subjectAltName: altName([
            der(0x87, Buffer.from('20010db8000000000000000000000001', 'hex')),
          ]),
        },
      }),
    ),
  ],
  [
    'a common name of its own outside the rules about it',
    caseOf(web, serverLeaf({ subject: 'other' })),
  ],
]

test('the runner accepts what is right', () => {
  for (const [title, one] of ACCEPTED) {
    assert.deepEqual(judge([one]).wrongRejects, [], title)
  }
})

const other = { kind: 'DNS', value: 'other.example' } as const
const webPeer = (plan: Plan) => caseOf(web, serverLeaf(plan))
const webHaving = (extensions: Plan['extensions']) => webPeer({ extensions: extensions ?? {} })
const eku = (...purposes: string[]) => webHaving({ extKeyUsage: extKeyUsage(...purposes) })
const serverRoot = root({ extensions: { extKeyUsage: server } })

const REFUSED: readonly (readonly [reason: string, Case])[] = [
  ['not evaluated: revocation lists', caseOf({ crls: ['-----BEGIN X509 CRL-----'] })],
  ['not evaluated: revocation lists', caseOf({ features: ['has-crl'] })],
  ['not evaluated: policy trees', caseOf({ features: ['has-policy-constraints'] })],
  ['not evaluated: policy trees', caseOf({ features: ['has-cert-policies'] })],
  ['not evaluated: other purposes', caseOf({ extended_key_usage: ['emailProtection'] })],
  [
    'not evaluated: a choice of signature algorithms',
    caseOf({ signature_algorithms: ['ED25519'] }),
  ],
  [
    'not evaluated: names of mailboxes',
    caseOf({
      validation_kind: 'CLIENT',
      expected_peer_names: [{ kind: 'RFC822', value: 'a@example.com' }],
    }),
  ],
  ['peer name: not that of the certificate', caseOf({ expected_peer_name: other })],
  [
    'peer name: not that of the certificate',
    caseOf(
      { validation_kind: 'CLIENT', expected_peer_names: [other] },
      serverLeaf({ extensions: { extKeyUsage: extKeyUsage(CLIENT_AUTH) } }),
    ),
  ],
  [
    'peer name: not that of the certificate',
    caseOf({}, serverLeaf({ extensions: { subjectAltName: undefined } })),
  ],
  ['key_usage: not meant for this', caseOf({ key_usage: ['keyEncipherment'] })],
  [
    'ext_key_usage: the leaf is not meant for this',
    caseOf({}, serverLeaf({ extensions: { extKeyUsage: extKeyUsage(CLIENT_AUTH) } })),
  ],
  ['chain: no path to a trusted authority', caseOf({}, serverLeaf({}, middle))],
  [
    'chain: no path to a trusted authority',
    caseOf({ ...under, max_chain_depth: 0 }, serverLeaf({}, middle)),
  ],
  [
    'web PKI: 7.1.2.1.2',
    caseOf({ ...web, trusted_certs: [pem(serverRoot)] }, serverLeaf({}, serverRoot)),
  ],
  ['web PKI: 7.1.2.7.6', webHaving({ extKeyUsage: undefined })],
  [
    'web PKI: 7.1.2.7.6',
    webHaving({ extKeyUsage: extension('2.5.29.37', sequence(oid(SERVER_AUTH)), true) }),
  ],
  ['web PKI: 7.1.2.7.10', eku(SERVER_AUTH, '2.5.29.37.0')],
  ['web PKI: 7.1.2.7.10', eku(SERVER_AUTH, '1.3.6.1.5.5.7.3.3')],
  ['web PKI: 7.1.2.7.12', webHaving({ subjectAltName: altName([dns('example.com')], true) })],
  [
    'web PKI: 7.1.4.3',
    caseOf({ id: 'webpki::cn::made-here' }, serverLeaf({ subject: 'Example.com' })),
  ],
]

test('the runner refuses what is wrong and what it cannot decide, and says by which rule', () => {
  for (const [reason, one] of REFUSED) {
    const [wrongReject] = judge([one]).wrongRejects
    assert.ok(wrongReject?.reason.startsWith(reason), `${wrongReject?.reason}, expected ${reason}`)
    const expected = judge([{ ...one, expected_result: 'FAILURE' }])
    assert.deepEqual([expected.right, expected.wrongAccepts], [1, []], reason)
  }
})

test('a case accepted that had to be refused is a wrong accept', () => {
  const answer = judge([caseOf({ expected_result: 'FAILURE' }), caseOf({})])
  assert.deepEqual(answer.wrongAccepts, ['rfc5280::made-here'])
  assert.deepEqual([answer.total, answer.right], [2, 1])
})

/** Every rule by which a case of the corpus may be refused that had to be accepted, and why it is one. */
const STATED_REASONS: Readonly<Record<string, string>> = {
  'not evaluated: revocation lists': 'SVIDs live for minutes; nobody publishes lists of them',
  'not evaluated: policy trees': 'SPIFFE has no certificate policies',
  'not evaluated: other purposes': 'SVIDs are for TLS, and for both of its sides',
  'not evaluated: names of mailboxes': 'SPIFFE has no mailboxes',
  'not evaluated: a choice of signature algorithms': 'the list is fixed',
  'name_constraints: name constraints are not evaluated': 'refused rather than half understood',
  'authority: the leaf is a CA': 'X509-SVID §4.1: a signing certificate authenticates nobody',
  'authority: a CA without a': 'RFC 5280 §4.2.1.1 and §4.2.1.2; OpenSSL in strict mode agrees',
  'chain: a leaf without an authority key identifier': 'RFC 5280 §4.2.1.1; OpenSSL agrees',
  'key_usage: a CA without keyCertSign': 'RFC 5280 §4.2.1.3; OpenSSL agrees',
  'algorithm: a signature algorithm that is not accepted': 'the list is short and fixed',
  'key: a kind of key that is not accepted': 'the list is short and fixed',
}

test('every wrong reject of the corpus has a stated reason', async (t) => {
  const folder =
    process.env.CORPORA_FOLDER ?? fileURLToPath(new URL('../../../shared/corpora', import.meta.url))
  if (!existsSync(join(folder, 'x509-limbo.json'))) {
    t.skip('x509-limbo.json is not here: name its folder with CORPORA_FOLDER=<folder>')
    return
  }
  const { wrongAccepts, wrongRejects } = await run(folder)
  assert.deepEqual(wrongAccepts, [])
  for (const { id, reason } of wrongRejects) {
    const stated = Object.keys(STATED_REASONS).some((start) => reason.includes(start))
    assert.ok(stated, `${id}: ${reason}`)
  }
})
