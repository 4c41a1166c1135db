/** RFC 9449 §4.3, check by check: each case changes one thing in a proof that is accepted. */
import assert from 'node:assert/strict'
import { createHash, createHmac, generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import fc from 'fast-check'
import type { Json } from '../../src/lib/json.ts'
import { type ProofCheck, type Reason, Refusal } from '../../src/refusal.ts'
import { type ExpectedProof, MAX_PROOF_BYTES, verifyProof } from '../../src/token/dpop.ts'
import { Nonces } from '../../src/token/nonce.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'

const NOW = 1_795_000_000
const TOKEN = 'header.payload.signature'
const ATH = createHash('sha256').update(TOKEN).digest('base64url')
const URL_OF_REQUEST = 'https://mcp.example/mcp'
const key = generateSenderKey()
const nonces = new Nonces(Buffer.alloc(32, 5))
const expected: ExpectedProof = {
  method: 'POST',
  url: URL_OF_REQUEST,
  now: NOW,
  accessToken: TOKEN,
}
const GOOD = { jti: 'a-jti', htm: 'POST', htu: URL_OF_REQUEST, iat: NOW, ath: ATH }

type Members = Record<string, Json | undefined>

function proof(claims: Members = {}, header: Members = {}, signer: SenderKey = key): string {
  const head = { typ: 'dpop+jwt', alg: signer.algorithm, jwk: signer.publicJwk, ...header }
  return signed(JSON.stringify(head), JSON.stringify({ ...GOOD, ...claims }), signer)
}

function signed(header: string, payload: string, signer: SenderKey = key): string {
  const input = [header, payload].map((part) => Buffer.from(part).toString('base64url')).join('.')
  return `${input}.${signer.sign(input).toString('base64url')}`
}

async function reasonFor(values: readonly string[], wanted: ExpectedProof): Promise<Reason> {
  try {
    await verifyProof(values, wanted)
  } catch (error) {
    assert.ok(error instanceof Refusal, `threw ${error}`)
    return error.reason
  }
  return assert.fail('was accepted')
}

async function refusedAt(check: ProofCheck, values: readonly string[], wanted = expected) {
  assert.deepEqual(await reasonFor(values, wanted), { code: 'proof_invalid', check })
}

const other = generateSenderKey()
const { d, ...secretless } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
  format: 'jwk',
})
const [head, body, signature] = proof().split('.') as [string, string, string]

function hmacProof(): string {
  const header = JSON.stringify({ typ: 'dpop+jwt', alg: 'HS256', jwk: key.publicJwk })
  const input = `${Buffer.from(header).toString('base64url')}.${body}`
  const mac = createHmac('sha256', JSON.stringify(key.publicJwk)).update(input)
  return `${input}.${mac.digest('base64url')}`
}

const REFUSED: readonly (readonly [ProofCheck, string, string | readonly string[]])[] = [
  ['count', 'two header fields', [proof(), proof({ jti: 'b' })]],
  ['count', 'the same field twice', [proof(), proof()]],
  ['count', 'two fields joined with a comma', `${proof()}, ${proof()}`],
  ['form', 'an empty field', ''],
  ['form', 'text that is no JWT', 'this-is-not-a-jwt'],
  ['form', 'a proof without signature segment', `${head}.${body}`],
  ['form', 'a proof with padding', `${head}.${body}.${signature}==`],
  ['form', 'white space around it', ` ${proof()} `],
  [
    'form',
    'a header with two typ',
    signed(
      `{"typ":"jwt","typ":"dpop+jwt","alg":"ES256","jwk":${JSON.stringify(key.publicJwk)}}`,
      JSON.stringify(GOOD),
    ),
  ],
  [
    'form',
    'claims with two iat',
    signed(
      JSON.stringify({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.publicJwk }),
      JSON.stringify(GOOD).replace('{', '{"iat":1,'),
    ),
  ],
  [
    'form',
    'claims that are an array',
    signed(JSON.stringify({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.publicJwk }), '[]'),
  ],
  ['form', 'a proof over 8 KiB', proof({ pad: 'x'.repeat(MAX_PROOF_BYTES) })],
  ['form', 'crit', proof({}, { crit: ['exp'] })],
  ['form', 'b64', proof({}, { b64: false })],
  ['form', 'jku', proof({}, { jku: 'https://evil.example/keys' })],
  ['form', 'x5u', proof({}, { x5u: 'https://evil.example/cert' })],
  ['form', 'x5c', proof({}, { x5c: [] })],
  ['claims', 'jti missing', proof({ jti: undefined })],
  ['claims', 'jti empty', proof({ jti: '' })],
  ['claims', 'jti a number', proof({ jti: 5 })],
  ['claims', 'jti too long', proof({ jti: 'j'.repeat(257) })],
  ['claims', 'htm missing', proof({ htm: undefined })],
  ['claims', 'htm an array', proof({ htm: ['POST'] })],
  ['claims', 'htu missing', proof({ htu: undefined })],
  ['claims', 'htu an array', proof({ htu: [URL_OF_REQUEST] })],
  ['claims', 'iat missing', proof({ iat: undefined })],
  ['claims', 'iat null', proof({ iat: null })],
  ['claims', 'iat text', proof({ iat: String(NOW) })],
  ['claims', 'iat an array', proof({ iat: [NOW] })],
  ['claims', 'iat beyond all integers', proof({ iat: 1e300 })],
  ['claims', 'nonce a number', proof({ nonce: 1 })],
  ['claims', 'exp text', proof({ exp: 'never' })],
  ['claims', 'nbf text', proof({ nbf: 'now' })],
  ['typ', 'typ missing', proof({}, { typ: undefined })],
  ['typ', 'typ jwt', proof({}, { typ: 'jwt' })],
  ['typ', 'typ of an access token', proof({}, { typ: 'at+jwt' })],
  ['typ', 'typ with a media type before it', proof({}, { typ: 'application/dpop+jwt' })],
  ['typ', 'typ in capitals', proof({}, { typ: 'DPOP+JWT' })],
  ['algorithm', 'alg missing', proof({}, { alg: undefined })],
  ['algorithm', 'alg none', proof({}, { alg: 'none' })],
  [
    'algorithm',
    'alg none without signature',
    `${Buffer.from(JSON.stringify({ typ: 'dpop+jwt', alg: 'none', jwk: key.publicJwk })).toString('base64url')}.${body}.`,
  ],
  ['algorithm', 'an HMAC under the public key', hmacProof()],
  ['algorithm', 'RS256, which is not offered', proof({}, { alg: 'RS256' })],
  ['key', 'jwk missing', proof({}, { jwk: undefined })],
  ['key', 'jwk as text', proof({}, { jwk: JSON.stringify(key.publicJwk) })],
  ['key', 'a kid in place of a jwk', proof({}, { jwk: undefined, kid: 'k' })],
  ['key', 'a private key in jwk', proof({}, { jwk: { ...secretless, d: d! } as Json })],
  ['key', 'our own jwk with a d beside it', proof({}, { jwk: { ...key.publicJwk, d: 'AA' } })],
  ['key', 'a symmetric jwk', proof({}, { jwk: { kty: 'oct', k: 'c2VjcmV0' } })],
  ['key', 'a jwk of another kind than alg', proof({}, { alg: 'ES384' })],
  ['key', 'a jwk for encryption', proof({}, { jwk: { ...key.publicJwk, use: 'enc' } })],
  [
    'key',
    'a point that is not on the curve',
    proof({}, { jwk: { ...key.publicJwk, x: key.publicJwk.y! } }),
  ],
  ['signature', 'the jwk of another key', proof({}, { jwk: other.publicJwk })],
  [
    'signature',
    'an altered signature',
    `${head}.${body}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
  ],
  ['signature', 'an empty signature', `${head}.${body}.`],
  [
    'signature',
    'claims of another proof',
    `${head}.${proof({ jti: 'b' }).split('.')[1]}.${signature}`,
  ],
  ['method', 'htm GET', proof({ htm: 'GET' })],
  ['method', 'htm in small letters', proof({ htm: 'post' })],
  ['url', 'htu of another host', proof({ htu: 'https://wrong.example/mcp' })],
  ['url', 'htu of another path', proof({ htu: 'https://mcp.example/mcp2' })],
  ['url', 'htu with a slash more', proof({ htu: `${URL_OF_REQUEST}/` })],
  ['url', 'htu of another scheme', proof({ htu: 'http://mcp.example/mcp' })],
  ['url', 'htu of another port', proof({ htu: 'https://mcp.example:8443/mcp' })],
  ['url', 'htu that is only a path', proof({ htu: '/mcp' })],
  ['url', 'htu with user information', proof({ htu: 'https://mcp.example@evil.example/mcp' })],
  ['url', 'htu that is no url', proof({ htu: 'nonsense' })],
  ['age', 'iat 61 s ago', proof({ iat: NOW - 61 })],
  ['age', 'iat 303 s ago', proof({ iat: NOW - 303 })],
  ['age', 'iat 11 s ahead', proof({ iat: NOW + 11 })],
  ['age', 'iat 303 s ahead', proof({ iat: NOW + 303 })],
  ['age', 'iat 0', proof({ iat: 0 })],
  ['age', 'iat negative', proof({ iat: -NOW })],
  ['age', 'iat in milliseconds', proof({ iat: NOW * 1000 })],
  ['age', 'its own exp has passed', proof({ exp: NOW - 30 })],
  ['age', 'its own nbf has not come', proof({ nbf: NOW + 30 })],
  ['token_hash', 'ath missing', proof({ ath: undefined })],
  [
    'token_hash',
    'ath of another token',
    proof({ ath: createHash('sha256').update('x').digest('base64url') }),
  ],
  ['token_hash', 'ath with padding', proof({ ath: `${ATH}=` })],
  ['token_hash', 'ath an array', proof({ ath: [ATH] })],
  ['token_hash', 'ath that is the token', proof({ ath: TOKEN })],
]

for (const [check, name, values] of REFUSED) {
  // The key is known to the cache by then or it is not: the answer is the same.
  test(`${check}: ${name} is refused`, async () => {
    const list = typeof values === 'string' ? [values] : values
    await refusedAt(check, list)
    await verifyProof([proof()], expected)
    await refusedAt(check, list)
  })
}

const ACCEPTED: readonly (readonly [string, string])[] = [
  ['a good proof', proof()],
  ['htu with query and fragment', proof({ htu: `${URL_OF_REQUEST}?a=1#b` })],
  ['htu in capitals with the default port', proof({ htu: 'HTTPS://MCP.EXAMPLE:443/mcp' })],
  ['htu with needless escapes and dots', proof({ htu: 'https://mcp.example/x/../%6Dcp' })],
  ['iat 60 s ago', proof({ iat: NOW - 60 })],
  ['iat 10 s ahead', proof({ iat: NOW + 10 })],
  ['iat with a fraction', proof({ iat: NOW - 0.5 })],
  ['a jti of 256 characters', proof({ jti: 'j'.repeat(256) })],
  ['claims and header parameters nobody knows', proof({ extra: { a: 1 } }, { extra: true })],
  ['a nonce nobody asked for', proof({ nonce: 'abc' })],
  ['its own exp and nbf', proof({ exp: NOW + 60, nbf: NOW })],
  [
    'a jwk with alg, use and kid',
    proof({}, { jwk: { ...key.publicJwk, alg: 'ES256', use: 'sig', kid: 'k' } }),
  ],
]

for (const [name, text] of ACCEPTED) {
  test(`accepted: ${name}`, async () => {
    const verified = await verifyProof([text], expected)
    assert.equal(verified.jkt, key.jkt)
  })
}

test('no proof at all is another refusal than a bad one', async () => {
  assert.deepEqual(await reasonFor([], expected), { code: 'binding_missing' })
})

test('without a token there is no ath to check', async () => {
  const atEndpoint = { ...expected, accessToken: undefined }
  await verifyProof([proof({ ath: undefined })], atEndpoint)
  await verifyProof([proof({ ath: 'anything' })], atEndpoint)
})

test('where nonces are used, every proof needs one of them: there is no way back', async () => {
  const wanted = { ...expected, nonces }
  const good = nonces.issue(NOW)
  await verifyProof([proof({ nonce: good })], wanted)
  const absent = { code: 'nonce_required', why: 'absent' }
  const unknown = { code: 'nonce_required', why: 'unknown' }
  assert.deepEqual(await reasonFor([proof()], wanted), absent)
  assert.deepEqual(await reasonFor([proof({ nonce: '' })], wanted), unknown)
  assert.deepEqual(await reasonFor([proof({ nonce: 'not-one-of-ours' })], wanted), unknown)
  assert.deepEqual(await reasonFor([proof({ nonce: nonces.issue(NOW - 200) })], wanted), unknown)
})

test('a nonce does not make an old proof young', async () => {
  const wanted = { ...expected, nonces }
  const nonce = nonces.issue(NOW)
  await refusedAt('age', [proof({ nonce, iat: NOW - 61 })], wanted)
  await refusedAt('age', [proof({ nonce, iat: NOW + 61 })], wanted)
})

test('a clock that is not a number accepts nothing', async () => {
  await refusedAt('age', [proof()], { ...expected, now: Number.NaN })
})

test('the window is the caller’s to set', async () => {
  const wide = { ...expected, maxAgeSeconds: 300, maxAheadSeconds: 60 }
  await verifyProof([proof({ iat: NOW - 300 })], wide)
  await verifyProof([proof({ iat: NOW + 60 })], wide)
  await refusedAt('age', [proof({ iat: NOW - 301 })], wide)
  await refusedAt('age', [proof({ iat: NOW + 61 })], wide)
})

test('what is spent names key and jti, and outlives every clock that could accept the proof', async () => {
  const first = await verifyProof([proof()], expected)
  const again = await verifyProof([proof({ iat: NOW - 1 })], expected)
  const sameJti = await verifyProof([proof({}, {}, other)], expected)
  const otherJti = await verifyProof([proof({ jti: 'b-jti' })], expected)
  assert.equal(first.jti, 'a-jti')
  assert.equal(first.issuedAt, NOW)
  assert.equal(first.expiresAt, NOW + 70)
  assert.equal(first.id, again.id)
  assert.notEqual(first.id, sameJti.id)
  assert.notEqual(first.id, otherJti.id)
  assert.match(first.id, /^[\w-]{43}$/)
})

test('every spelling of one signature spends the same id', async () => {
  const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
  const bytes = Buffer.from(signature, 'base64url')
  const s = order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  bytes.write(s.toString(16).padStart(64, '0'), 32, 'hex')
  const twin = `${head}.${body}.${bytes.toString('base64url')}`
  assert.notEqual(twin, `${head}.${body}.${signature}`)
  const ids = [
    await verifyProof([`${head}.${body}.${signature}`], expected),
    await verifyProof([twin], expected),
  ]
  assert.equal(ids[0]!.id, ids[1]!.id)
})

test('a known key is answered at once, a new one later, and both alike', async () => {
  const fresh = generateSenderKey()
  const text = makeProof(fresh, { ...expected, accessToken: TOKEN })
  const later = verifyProof([text], expected)
  assert.ok(later instanceof Promise)
  assert.deepEqual(verifyProof([text], expected) instanceof Promise, true)
  const first = await later
  const atOnce = verifyProof([text], expected)
  assert.ok(!(atOnce instanceof Promise))
  assert.deepEqual(atOnce, first)
})

test('more keys than are remembered push out old ones, and all are still accepted', async () => {
  // Another header for the same key costs as much room as another key, and is quicker to make.
  const headers = Array.from({ length: 4200 }, (_, index) => proof({}, { filler: index }))
  for (const text of headers) await verifyProof([text], expected)
  assert.ok(verifyProof([headers.at(-1)!], expected) instanceof Promise === false)
  assert.ok(verifyProof([headers[0]!], expected) instanceof Promise)
  await verifyProof([headers[0]!], expected)
})

test('a header too long for an honest key is verified and not remembered', async () => {
  const text = proof({}, { filler: 'x'.repeat(2048) })
  await verifyProof([text], expected)
  const again = verifyProof([text], expected)
  assert.ok(again instanceof Promise)
  await again
})

test('a url the caller got wrong is the caller’s mistake, not the client’s', async () => {
  await assert.rejects(async () => verifyProof([proof()], { ...expected, url: '/mcp' }), TypeError)
})

test('whatever arrives in the header is verified or refused', async () => {
  const fields = fc.array(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.tuple(fc.json(), fc.json()).map(([a, b]) => signed(a, b)),
      fc
        .dictionary(fc.constantFrom('jti', 'htm', 'htu', 'iat', 'ath', 'nonce'), fc.jsonValue())
        .map((claims) => proof(claims as Members)),
      fc
        .dictionary(fc.constantFrom('typ', 'alg', 'jwk', 'kid', 'crit'), fc.jsonValue())
        .map((header) => proof({}, header as Members)),
    ),
    { maxLength: 2 },
  )
  await fc.assert(
    fc.asyncProperty(fields, async (values) => {
      try {
        await verifyProof(values, expected)
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
      }
    }),
    { numRuns: 500 },
  )
})
