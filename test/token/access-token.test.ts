/** Each case changes one thing in a token that is accepted. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import fc from 'fast-check'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { mintToken, newJti } from '../../src/mint/mint.ts'
import { type Reason, Refusal, type TokenCheck } from '../../src/refusal.ts'
import { createTokenVerifier, type TokenVerifierOptions } from '../../src/token/access-token.ts'
import type { TokenClaims } from '../../src/token/claims.ts'
import { type Algorithm, type SigningKey, signJws } from '../../src/token/jws.ts'
import { type KeySource, localKeySet } from '../../src/token/key-set.ts'

const NOW = 1_795_000_000
const ISSUER = 'https://broker.example'
const AUDIENCE = 'https://mcp.example/mcp'
const JKT = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I'

function keyOf(kid: string, algorithm: Algorithm = 'ES256'): SigningKey {
  const { privateKey, publicKey } =
    algorithm === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : algorithm === 'Ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = publicKey.export({ format: 'jwk' }) as JsonObject
  return { kid, algorithm, key: privateKey, publicJwk: { ...jwk, kid, alg: algorithm } }
}

const ALGORITHMS: readonly Algorithm[] = ['ES256', 'RS256', 'Ed25519']
const keys = ALGORITHMS.map((algorithm) => keyOf(algorithm, algorithm))
const [key] = keys as [SigningKey]
const stranger = keyOf('ES256')
const published = localKeySet({ keys: keys.map(({ publicJwk }) => publicJwk) }, ALGORITHMS)
const options: TokenVerifierOptions = { issuer: ISSUER, audience: AUDIENCE, keys: published }
const verifier = createTokenVerifier(options)

const DETAIL = {
  type: 'mcp_action',
  locations: [AUDIENCE],
  actions: ['tools/call'],
  identifier: 't',
}
const ACTION: TokenClaims = {
  iss: ISSUER,
  aud: AUDIENCE,
  sub: 'user:1',
  client_id: 'spiffe://corp.example/bot',
  act: { sub: 'spiffe://corp.example/bot' },
  jti: 'a-jti',
  iat: NOW,
  exp: NOW + 60,
  sid: 'a-session',
  txn: 'invoice-4711',
  scope: 'mcp:action',
  authorization_details: [DETAIL],
  cnf: { jkt: JKT },
}
const SESSION: TokenClaims = { ...ACTION, scope: 'mcp:session', authorization_details: undefined! }

type Members = Record<string, Json | undefined>
const sign = (claims: Members = {}, header: Members = { typ: 'at+jwt' }, signer = key) =>
  signJws(header as JsonObject, { ...ACTION, ...claims } as unknown as JsonObject, signer)
const spelled = (header: Members) => {
  const text = Buffer.from(JSON.stringify({ typ: 'at+jwt', alg: 'ES256', kid: 'ES256', ...header }))
  return `${text.toString('base64url')}.${sign().split('.').slice(1).join('.')}`
}

async function reasonFor(text: string, now = NOW, by = verifier): Promise<Reason> {
  try {
    await by.verify(text, now)
  } catch (error) {
    assert.ok(error instanceof Refusal, `threw ${error}`)
    return error.reason
  }
  return assert.fail('was accepted')
}

for (const signer of keys) {
  test(`${signer.algorithm}: a minted token is accepted as what it is`, () => {
    const token = verifier.verify(mintToken(ACTION, signer), NOW)
    assert.deepEqual(token, { claims: ACTION, kind: 'action', expiresAt: NOW + 60 })
  })
}

const nested = (levels: number): Json =>
  levels === 1 ? { sub: 'a' } : { sub: 'a', act: nested(levels - 1) }

const REFUSED: readonly (readonly [TokenCheck, string, string])[] = [
  ['form', 'text that is no JWT', 'token'],
  ['form', 'padding', `${sign()}=`],
  ['form', 'a newline after it', `${sign()}\n`],
  ['form', 'more than 16 KiB', sign({ pad: 'x'.repeat(16 * 1024) })],
  ['form', 'a header parameter more', spelled({ cty: 'json' })],
  ['form', 'a key in the header', spelled({ jwk: key.publicJwk })],
  ['form', 'jku', spelled({ jku: 'https://evil.example/jwks' })],
  ['form', 'crit', spelled({ crit: [] })],
  ['form', 'no kid', spelled({ kid: undefined })],
  ['form', 'a kid that is not text', spelled({ kid: 1 })],
  ['typ', 'no typ', sign({}, {})],
  ['typ', 'typ JWT', sign({}, { typ: 'JWT' })],
  ['typ', 'typ of a proof', sign({}, { typ: 'dpop+jwt' })],
  ['typ', 'typ of the feed', sign({}, { typ: 'writ-feed+jwt' })],
  ['typ', 'typ with a media type before it', sign({}, { typ: 'application/at+jwt' })],
  ['algorithm', 'alg none', spelled({ alg: 'none' })],
  ['algorithm', 'alg HS256', spelled({ alg: 'HS256' })],
  ['key', 'an unknown kid', spelled({ kid: 'unknown' })],
  ['key', 'a kid of another algorithm', spelled({ kid: 'RS256' })],
  ['key', 'an algorithm the key is not for', spelled({ alg: 'Ed25519' })],
  ['algorithm', 'an algorithm the broker does not sign with', spelled({ alg: 'PS256' })],
  ['signature', 'a stranger’s signature under our kid', mintToken(ACTION, stranger)],
  [
    'signature',
    'claims of another token',
    [sign().split('.')[0], sign({ sub: 'root' }).split('.')[1], sign().split('.')[2]].join('.'),
  ],
  ['signature', 'no signature', sign().replace(/[^.]*$/, '')],
  ['issuer', 'another issuer', sign({ iss: 'https://broker.example.evil' })],
  ['issuer', 'the issuer with a slash', sign({ iss: `${ISSUER}/` })],
  ['audience', 'another audience', sign({ aud: 'https://other.example/mcp' })],
  ['audience', 'the audience with a slash', sign({ aud: `${AUDIENCE}/` })],
  ['claims', 'a list of audiences', sign({ aud: [AUDIENCE] })],
  ...[
    'iss',
    'aud',
    'sub',
    'client_id',
    'jti',
    'iat',
    'exp',
    'sid',
    'scope',
    'authorization_details',
  ].map((claim) => ['claims', `no ${claim}`, sign({ [claim]: undefined })] as const),
  ...['iss', 'aud', 'sub', 'client_id', 'jti', 'sid', 'txn', 'scope'].map(
    (claim) => ['claims', `${claim} empty`, sign({ [claim]: '' })] as const,
  ),
  ...['iss', 'aud', 'sub', 'client_id', 'jti', 'sid', 'txn', 'scope', 'act', 'cnf'].map(
    (claim) => ['claims', `${claim} a number`, sign({ [claim]: 5 })] as const,
  ),
  ['claims', 'sub too long', sign({ sub: 's'.repeat(2049) })],
  ['claims', 'sid too long', sign({ sid: 's'.repeat(257) })],
  ['claims', 'jti too long', sign({ jti: 'j'.repeat(129) })],
  ['claims', 'jti with a space', sign({ jti: 'a b' })],
  ['claims', 'jti with a letter beyond ASCII', sign({ jti: 'jtí' })],
  ['claims', 'iat text', sign({ iat: String(NOW) })],
  ['claims', 'iat with a fraction', sign({ iat: NOW - 0.5 })],
  ['claims', 'iat negative', sign({ iat: -1 })],
  ['claims', 'exp text', sign({ exp: String(NOW + 60) })],
  ['claims', 'exp null', sign({ exp: null })],
  ['claims', 'nbf text', sign({ nbf: 'now' })],
  ['claims', 'another scope', sign({ scope: 'admin' })],
  [
    'claims',
    'another scope, no details',
    sign({ scope: 'admin', authorization_details: undefined }),
  ],
  ['claims', 'both scopes', sign({ scope: 'mcp:action mcp:session' })],
  ['claims', 'details that are no list', sign({ authorization_details: DETAIL })],
  ['claims', 'an empty list of details', sign({ authorization_details: [] })],
  ['claims', 'a detail that is no object', sign({ authorization_details: [DETAIL, 'all'] })],
  [
    'claims',
    'a detail without type',
    sign({ authorization_details: [{ actions: ['tools/call'] }] }),
  ],
  ['claims', 'a session token with details', sign({ scope: 'mcp:session' })],
  ['claims', 'an actor that is null', sign({ act: null })],
  ['claims', 'an actor without sub', sign({ act: { iss: 'x' } })],
  ['claims', 'an actor with a strange iss', sign({ act: { sub: 'a', iss: 1 } })],
  ['claims', 'an actor with a strange profile', sign({ act: { sub: 'a', sub_profile: {} } })],
  ['claims', 'an inner actor without sub', sign({ act: { sub: 'a', act: {} } })],
  ['claims', 'nine actors in a chain', sign({ act: nested(9) })],
  ['claims', 'links that are no list', sign({ via: 'jti-1' })],
  ['claims', 'links that are null', sign({ via: null })],
  ['claims', 'a link that is no text', sign({ via: ['jti-1', 2] })],
  ['claims', 'an empty link', sign({ via: [''] })],
  ['claims', 'more links than there can be', sign({ via: Array(25).fill('jti-1') })],
  ['claims', 'cnf empty', sign({ cnf: {} })],
  ['claims', 'cnf null', sign({ cnf: null })],
  ['claims', 'cnf with two keys', sign({ cnf: { jkt: JKT, 'x5t#S256': JKT } })],
  ['claims', 'cnf with something beside the key', sign({ cnf: { jkt: JKT, kid: 'a' } })],
  ['claims', 'cnf of another kind', sign({ cnf: { kid: 'a' } })],
  ['claims', 'a thumbprint that is not text', sign({ cnf: { jkt: 5 } })],
  ['claims', 'a thumbprint of another length', sign({ cnf: { jkt: JKT.slice(0, 42) } })],
  ['claims', 'a thumbprint with padding', sign({ cnf: { jkt: `${JKT}=` } })],
  ['lifetime', 'a life of more than 300 s', sign({ exp: NOW + 301 })],
  ['lifetime', 'no life at all', sign({ exp: NOW })],
  ['lifetime', 'an end before its beginning', sign({ iat: NOW + 4, exp: NOW + 3 })],
  ['lifetime', 'an iat in the future', sign({ iat: NOW + 6, exp: NOW + 66 })],
  ['lifetime', 'an nbf in the future', sign({ nbf: NOW + 6 })],
]

for (const [check, name, text] of REFUSED) {
  test(`${check}: ${name} is refused`, async () => {
    assert.deepEqual(await reasonFor(text), { code: 'token_invalid', check })
  })
}

test('a token without a key is not one of ours', async () => {
  assert.deepEqual(await reasonFor(sign({ cnf: undefined })), { code: 'token_unbound' })
})

const ACCEPTED: readonly (readonly [string, string])[] = [
  ['without txn and act', sign({ txn: undefined, act: undefined })],
  ['a certificate in place of a key', sign({ cnf: { 'x5t#S256': JKT } })],
  ['sixteen links', sign({ via: Array(16).fill('jti-1') })],
  ['eight actors in a chain', sign({ act: nested(8) })],
  ['an actor with all it may say', sign({ act: { sub: 'a', iss: 'b', sub_profile: 'ai_agent' } })],
  ['claims nobody knows', sign({ acr: '2', extra: { a: [1] } })],
  ['an iat as far ahead as a clock may be', sign({ iat: NOW + 5, exp: NOW + 65 })],
  ['an nbf', sign({ nbf: NOW })],
  ['a life of 300 s', sign({ exp: NOW + 300 })],
]

for (const [name, text] of ACCEPTED) {
  test(`accepted: ${name}`, () => {
    const token = verifier.verify(text, NOW)
    assert.ok(!(token instanceof Promise))
    assert.equal(token.kind, 'action')
  })
}

test('a token is good until it expires, with the skew and not a moment longer', async () => {
  const text = sign()
  await verifier.verify(text, NOW + 64.9)
  assert.deepEqual(await reasonFor(text, NOW + 65), { code: 'token_expired' })
  assert.deepEqual(await reasonFor(text, NOW - 6), { code: 'token_invalid', check: 'lifetime' })
  assert.deepEqual(await reasonFor(text, Number.NaN), { code: 'token_invalid', check: 'lifetime' })
})

test('a verifier may ask for shorter lives, never for longer ones', async () => {
  const strict = createTokenVerifier({ ...options, maxLifetimeSeconds: 59 })
  assert.deepEqual(await reasonFor(sign(), NOW, strict), {
    code: 'token_invalid',
    check: 'lifetime',
  })
  for (const maxLifetimeSeconds of [0, 301, Number.NaN]) {
    assert.throws(() => createTokenVerifier({ ...options, maxLifetimeSeconds }), TypeError)
  }
  for (const clockSkewSeconds of [-1, 61, Number.NaN]) {
    assert.throws(() => createTokenVerifier({ ...options, clockSkewSeconds }), TypeError)
  }
})

test('a session token is verified once and remembered, until it expires', async () => {
  const by = createTokenVerifier(options)
  const text = mintToken(SESSION, key)
  const first = by.verify(text, NOW)
  assert.equal(by.verify(text, NOW + 30), first, 'was verified again')
  assert.deepEqual(await reasonFor(text, NOW + 65, by), { code: 'token_expired' })
})

test('what is done to the claims of a remembered token is not believed next time', async () => {
  const by = createTokenVerifier(options)
  const { claims } = await by.verify(mintToken(SESSION, key), NOW)
  for (const part of [claims, claims.act ?? assert.fail(), claims.cnf]) {
    assert.throws(() => Object.assign(part, { sub: 'user:2', exp: NOW + 9000 }), TypeError)
  }
})

test('a session token too long to be remembered is accepted all the same', () => {
  const text = mintToken({ ...SESSION, act: { sub: 'a'.repeat(2000) } }, key)
  assert.notEqual(verifier.verify(text, NOW), verifier.verify(text, NOW))
})

test('an action token is never remembered', () => {
  const text = mintToken(ACTION, key)
  assert.notEqual(verifier.verify(text, NOW), verifier.verify(text, NOW))
})

test('a forgery that borrows parts of a remembered token is not a hit', async () => {
  const by = createTokenVerifier(options)
  const text = mintToken(SESSION, key)
  by.verify(text, NOW)
  const [header, , signature] = text.split('.')
  const payload = mintToken({ ...SESSION, sub: 'root' }, stranger).split('.')[1]
  const forged = `${header}.${payload}.${signature}`
  assert.deepEqual(await reasonFor(forged, NOW, by), { code: 'token_invalid', check: 'signature' })
  assert.deepEqual(await reasonFor(mintToken(SESSION, stranger), NOW, by), {
    code: 'token_invalid',
    check: 'signature',
  })
})

test('a remembered token falls with its key', async () => {
  const old = published.find('ES256', 'ES256')
  let find: KeySource['find'] = () => old
  const by = createTokenVerifier({ ...options, keys: { find: (...name) => find(...name) } })
  const text = mintToken(SESSION, key)
  by.verify(text, NOW)
  find = () => undefined
  assert.deepEqual(await reasonFor(text, NOW, by), { code: 'token_invalid', check: 'key' })
  const replaced = localKeySet({ keys: [stranger.publicJwk] }, ['ES256'])
  find = (...name) => replaced.find(...name)
  assert.deepEqual(await reasonFor(text, NOW, by), { code: 'token_invalid', check: 'signature' })
})

test('a key source that has to fetch is waited for, and its refusal is passed on', async () => {
  const slow = createTokenVerifier({
    ...options,
    keys: { find: async (...name) => published.find(...name) },
  })
  const pending = slow.verify(sign(), NOW)
  assert.ok(pending instanceof Promise)
  assert.equal((await pending).claims.jti, 'a-jti')
  const detail = 'away'
  const away: KeySource = {
    find: () => Promise.reject(new Refusal({ code: 'keys_unavailable', detail })),
  }
  const reason = await reasonFor(sign(), NOW, createTokenVerifier({ ...options, keys: away }))
  assert.deepEqual(reason, { code: 'keys_unavailable', detail })
})

test('a key source that answers with a key of another algorithm is not followed', async () => {
  const confused = createTokenVerifier({
    ...options,
    keys: { find: () => published.find('RS256', 'RS256') },
  })
  assert.deepEqual(await reasonFor(sign(), NOW, confused), { code: 'token_invalid', check: 'key' })
})

test('every spelling that is accepted of one token has one jti, so it is spent once', async () => {
  const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
  const [header, payload, signature] = sign().split('.') as [string, string, string]
  const twin = Buffer.from(signature, 'base64url')
  const s = order - BigInt(`0x${twin.subarray(32).toString('hex')}`)
  twin.write(s.toString(16).padStart(64, '0'), 32, 'hex')
  const spellings = [
    `${header}.${payload}.${signature}`,
    `${header}.${payload}.${twin.toString('base64url')}`,
    `${header}.${payload}.${signature}==`,
    `${header}=.${payload}.${signature}`,
    `${header}.${payload}=.${signature}`,
    ` ${header}.${payload}.${signature}`,
    `${header}.${payload}.${signature}\n`,
    `${header}.${payload}.${signature.slice(0, -1)}${signature.endsWith('A') ? 'B' : `${signature.at(-1)}x`}`,
  ]
  const spent = new Set<string>()
  let accepted = 0
  for (const spelling of spellings) {
    try {
      spent.add((await verifier.verify(spelling, NOW)).claims.jti)
      accepted++
    } catch (error) {
      assert.ok(error instanceof Refusal)
    }
  }
  assert.equal(accepted, 2)
  assert.deepEqual([...spent], ['a-jti'])
})

test('no two jti are alike', () => {
  const ids = new Set(Array.from({ length: 1000 }, newJti))
  assert.equal(ids.size, 1000)
  for (const id of ids) assert.match(id, /^[\w-]{22}$/)
})

test('whatever the broker’s key has signed is accepted or refused, and text always is refused', async () => {
  const claim = fc.constantFrom(...Object.keys(ACTION), 'nbf', '__proto__')
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.dictionary(claim, fc.jsonValue()).map((claims) => sign(claims as Members)),
      ),
      async (text) => {
        try {
          await verifier.verify(text, NOW)
        } catch (error) {
          if (!(error instanceof Refusal)) throw error
        }
      },
    ),
    { numRuns: 500 },
  )
})
