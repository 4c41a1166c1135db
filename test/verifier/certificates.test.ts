/** Tokens that are bound to certificates (RFC 8705 §3, RFC 9440): one case, one thing that is wrong. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { createVerifier, fetchGate, type Verifier } from '../../src/verifier/index.ts'
import {
  type Certified,
  callMessage,
  certified,
  claimsFor,
  clock,
  mint,
  options,
  request,
  type Sent,
} from './rig.ts'

const PROXY = '198.51.100.9'
const STRANGER = '203.0.113.4'

let rig: Awaited<ReturnType<typeof options>>
let verifier: Verifier
let own: Certified
let other: Certified

before(async () => {
  rig = await options({
    certificates: true,
    trustedProxies: ['198.51.100.0/28', '2001:db8::7'],
  })
  verifier = createVerifier(rig.options)
  await verifier.ready()
  ;[own, other] = await Promise.all([certified(), certified()])
})
after(async () => {
  await verifier.close()
  await rig.publisher.close()
})

const header = (der: Uint8Array) => `:${Buffer.from(der).toString('base64')}:`

/** A right request but for what `sent` says; its token is bound to `holder`. */
function over(sent: Partial<Sent>, holder = own, claims: Parameters<typeof claimsFor>[1] = {}) {
  const { headers, ...more } = sent
  return request({
    token: mint(claimsFor({}, { cnf: holder.cnf, ...claims })),
    message: callMessage(),
    scheme: 'Bearer',
    headers: { dpop: undefined, ...headers },
    ...more,
  })
}

async function outcome(sent: ReturnType<typeof over>, by = verifier): Promise<string> {
  const spent = rig.ledger.spent.length
  const answer = await by.check(sent)
  if (answer.allowed) return 'allowed'
  assert.equal(rig.ledger.spent.length, spent, 'nothing was spent')
  const { reason, evidence } = rig.records.at(-1) ?? assert.fail()
  const detail = (evidence as { check?: string; peer?: string } | undefined) ?? {}
  return [reason, detail.check ?? detail.peer].filter(Boolean).join(' ')
}

const cases: [string, () => Partial<Sent>, string][] = [
  ['over the connection of its certificate', () => ({ certificate: own.certificate }), 'allowed'],
  ['without a certificate', () => ({}), 'binding_missing'],
  ['over the connection of another', () => ({ certificate: other.certificate }), 'key_mismatch'],
  [
    'as DPoP, over the connection of its certificate',
    () => ({ certificate: own.certificate, scheme: 'DPoP' }),
    'token_unbound',
  ],
  [
    'passed on by a listed proxy',
    () => ({ address: PROXY, headers: { 'client-cert': header(own.certificate) } }),
    'allowed',
  ],
  [
    'passed on by a listed proxy whose address came mapped into IPv6',
    () => ({ address: `::ffff:${PROXY}`, headers: { 'client-cert': header(own.certificate) } }),
    'allowed',
  ],
  [
    'passed on with its chain',
    () => ({
      address: '2001:db8::7',
      headers: {
        'client-cert': header(own.certificate),
        'client-cert-chain': [header(other.certificate), header(other.certificate)],
      },
    }),
    'allowed',
  ],
  [
    'with the header of a listed proxy for another certificate',
    () => ({ address: PROXY, headers: { 'client-cert': header(other.certificate) } }),
    'key_mismatch',
  ],
  [
    'over a listed proxy’s own connection, without a header',
    () => ({ address: PROXY, certificate: own.certificate }),
    'binding_missing',
  ],
  [
    'with the certificate in the chain alone',
    () => ({ address: PROXY, headers: { 'client-cert-chain': header(own.certificate) } }),
    'binding_missing',
  ],
  [
    'with two headers of a listed proxy',
    () => ({
      address: PROXY,
      headers: { 'client-cert': [header(own.certificate), header(own.certificate)] },
    }),
    'identity_invalid form',
  ],
  [
    'with two certificates in one header',
    () => ({
      address: PROXY,
      headers: { 'client-cert': `${header(own.certificate)}, ${header(own.certificate)}` },
    }),
    'identity_invalid form',
  ],
  [
    'with a header that is no byte sequence',
    () => ({
      address: PROXY,
      headers: { 'client-cert': Buffer.from(own.certificate).toString('base64') },
    }),
    'identity_invalid form',
  ],
  [
    'with a header from a stranger',
    () => ({ address: STRANGER, headers: { 'client-cert': header(own.certificate) } }),
    `certificate_untrusted ${STRANGER}`,
  ],
  [
    'with the chain header of a stranger',
    () => ({ address: STRANGER, headers: { 'client-cert-chain': header(own.certificate) } }),
    `certificate_untrusted ${STRANGER}`,
  ],
  [
    'over a stranger’s connection, with another’s header',
    () => ({
      address: STRANGER,
      certificate: other.certificate,
      headers: { 'client-cert': header(own.certificate) },
    }),
    'key_mismatch',
  ],
  [
    'over its own connection, with another’s header',
    () => ({
      address: STRANGER,
      certificate: own.certificate,
      headers: { 'client-cert': header(other.certificate) },
    }),
    'allowed',
  ],
]
for (const [title, sent, expected] of cases) {
  test(`a token bound to a certificate, sent ${title}: ${expected}`, async () => {
    assert.equal(await outcome(over(sent())), expected)
  })
}

const moments: [string, number, string][] = [
  ['is valid', 0, 'allowed'],
  ['has expired', 30, 'identity_invalid expiry'],
  ['is not valid yet', -60, 'identity_invalid expiry'],
]
for (const [title, ahead, expected] of moments) {
  test(`a certificate that ${title} is looked at when the request comes: ${expected}`, async () => {
    const short = await certified(20)
    // Only the verifier's clock moves: the feed must not seem silent.
    let offsetSeconds = 0
    const moved = createVerifier({ ...rig.options, clock: () => clock.now() + offsetSeconds })
    await moved.ready()
    offsetSeconds = ahead
    const iat = Math.floor(clock.now() + ahead)
    const sent = over({ certificate: short.certificate }, short, { iat, exp: iat + 60 })
    assert.equal(await outcome(sent, moved), expected)
    await moved.close()
  })
}

const unreadable: [string, () => Uint8Array][] = [
  ['no certificate', () => Buffer.from('not a certificate')],
  ['PEM', () => Buffer.from(own.chainPem)],
  [
    'a certificate with something after it',
    () => Buffer.concat([own.certificate, Buffer.from([0])]),
  ],
  ['half a certificate', () => own.certificate.subarray(0, 100)],
  ['nothing', () => new Uint8Array()],
]
for (const [what, bytes] of unreadable) {
  test(`bytes that are ${what} prove nothing, even when a token names them`, async () => {
    const certificate = bytes()
    const holder = { ...own, cnf: { 'x5t#S256': certificateThumbprint(certificate) } }
    assert.equal(await outcome(over({ certificate }, holder)), 'identity_invalid certificate')
  })
}

test('a token bound to a certificate is refused where none are taken', async () => {
  const plain = createVerifier({ ...rig.options, certificates: false, trustedProxies: [] })
  await plain.ready()
  assert.equal(await outcome(over({ certificate: own.certificate }), plain), 'token_unbound')
  await plain.close()
})

test('a token bound to a key needs no certificate, and says nothing about one', async () => {
  const sent = request({ token: mint(claimsFor({})), message: callMessage() })
  assert.equal(await outcome(sent), 'allowed')
})

test('headers of strangers are named to be taken off, and those of listed proxies are not', async () => {
  const headers = { 'client-cert': header(own.certificate), 'client-cert-chain': ':AA==:' }
  const of = async (address: string) => {
    const sent = request({ token: mint(claimsFor({})), message: callMessage(), headers, address })
    const answer = await verifier.check(sent)
    return answer.allowed ? answer.unbelieved : assert.fail()
  }
  assert.deepEqual(await of(STRANGER), ['client-cert', 'client-cert-chain'])
  assert.deepEqual(await of(PROXY), [])
})

test('proxies that are no addresses, or whose word would count for nothing, are a TypeError', () => {
  for (const trustedProxies of [['proxy.example'], ['10.0.0.0/33'], [''], ['10.0.0.1/8/8']]) {
    assert.throws(() => createVerifier({ ...rig.options, trustedProxies }), TypeError)
  }
  const unused = { ...rig.options, certificates: false, trustedProxies: [PROXY] }
  assert.throws(() => createVerifier(unused), TypeError)
})

test('a fetch gate that cannot know whose certificate it is cannot be made', () => {
  assert.throws(() => fetchGate(verifier, () => new Response()), /option peer/)
  assert.ok(fetchGate(verifier, () => new Response(), { peer: () => ({}) }))
})
