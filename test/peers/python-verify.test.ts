/**
 * The broker's tokens, verified by another language and other libraries: PyJWT, cryptography, rfc8785,
 * and what docs/verifying.md says. `test/peers/python` shares no line with `src`.
 */
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import type { TokenClaims } from '../../src/token/claims.ts'
import { type Algorithm, signJws } from '../../src/token/jws.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'
import { detailVectors, hashVectors, received } from '../action/vectors.ts'
import { claimsOf } from '../server/fixture.ts'
import { whyNoPython } from '../support/python.ts'
import {
  ARGUMENTS,
  ask,
  base64,
  check,
  now,
  RESOURCE,
  real,
  startPython,
  stopPython,
  TOOL,
  type Told,
  tokenFor,
} from './python-verifier.ts'
import { BOT } from './real.ts'

suite('a verifier in Python', { skip: whyNoPython() }, () => {
  before(startPython)
  after(stopPython)

  test('accepts a real token for exactly its call, once, and reads every claim of it', async () => {
    for (const algorithm of ['ES256', 'ES384', 'PS256', 'Ed25519'] as Algorithm[]) {
      const key = generateSenderKey(algorithm)
      const token = await tokenFor(key)
      const told = await check(key, token)
      assert.equal(told.ok, true, JSON.stringify(told))
      assert.deepEqual(told.claims, claimsOf(token))
      const { sub, client_id, txn } = told.claims as JsonObject
      assert.deepEqual([sub, client_id, txn], [BOT, BOT, 'invoice-1'])
      assert.deepEqual(await check(key, token), { ok: false, why: 'spent' })
    }
  })

  test('accepts a session token for what needs one, and one proof of it once', async () => {
    const key = generateSenderKey()
    const token = await tokenFor(key, false)
    const accessToken = token
    const proof = makeProof(key, { method: 'POST', url: RESOURCE, now: now(), accessToken })
    const list = { method: 'tools/list', params: {}, proof }
    assert.equal((await check(key, token, list)).ok, true)
    assert.deepEqual(await check(key, token, list), { ok: false, why: 'proof replayed' })
    assert.equal((await check(key, token, { method: 'tools/list' })).ok, true)
    assert.deepEqual(await check(key, token), { ok: false, why: 'scope' })
  })

  test('computes the hashes that the token has, from the arguments and the definition', async () => {
    const [element] = claimsOf(await tokenFor(generateSenderKey())).authorization_details as [
      JsonObject,
    ]
    const ofArguments = await ask('hash', { text: base64(ARGUMENTS) })
    assert.equal(ofArguments.hash, element.arguments_hash)
    const ofDefinition = await ask('definition', { text: base64(TOOL) })
    assert.equal(ofDefinition.hash, element.definition_hash)
  })

  /** Each: what is wrong with a call, and the check that says so. */
  const wrong: [string, (key: SenderKey, token: string) => Promise<Told>, RegExp][] = [
    [
      'another amount',
      (k, t) => check(k, t, { arguments: { ...ARGUMENTS, amount: 1 } }),
      /^action$/,
    ],
    ['one argument more', (k, t) => check(k, t, { arguments: { ...ARGUMENTS, x: 1 } }), /^action$/],
    ['no arguments', (k, t) => check(k, t, { arguments: {} }), /^action$/],
    ['another tool', (k, t) => check(k, t, { params: { name: 'drop' } }), /^definition$/],
    [
      'input that nobody asked for',
      (k, t) => check(k, t, { params: { requestState: 's' } }),
      /^action$/,
    ],
    ['another key', (_, t) => check(generateSenderKey(), t), /^proof of another key$/],
    ['the token of somebody as Bearer', (k, t) => check(k, t, { scheme: 'Bearer' }), /^one proof$/],
    ['no proof', (k, t) => check(k, t, { proofs: [] }), /^one proof$/],
    [
      'a proof for another token',
      async (k, t) => check(k, t, { proof: proofOf(k, { accessToken: await tokenFor(k) }) }),
      /^ath$/,
    ],
    ['a proof without a token', (k, t) => check(k, t, { proof: proofOf(k, {}) }), /^ath$/],
    [
      'a proof for another place',
      (k, t) => check(k, t, { proof: proofOf(k, { accessToken: t, url: `${RESOURCE}/x` }) }),
      /another request/,
    ],
    [
      'a proof for another method',
      (k, t) => check(k, t, { proof: proofOf(k, { accessToken: t, method: 'GET' }) }),
      /another request/,
    ],
    [
      'an old proof',
      (k, t) => check(k, t, { proof: proofOf(k, { accessToken: t, now: now() - 70 }) }),
      /^proof age$/,
    ],
    [
      'a proof of tomorrow',
      (k, t) => check(k, t, { proof: proofOf(k, { accessToken: t, now: now() + 86_400 }) }),
      /^proof age$/,
    ],
    [
      'a changed proof',
      (k, t) => check(k, t, { proof: `${proofOf(k, { accessToken: t }).slice(0, -9)}AAAAAAAAA` }),
      /^(proof: Invalid|not the canonical)/,
    ],
    ['the token in another spelling', (k, t) => check(k, `${t}=`), /^not base64url$/],
    ['a token with another payload', (k, t) => check(k, changed(t)), /InvalidSignature/],
    [
      'a token whose header names another key',
      (k, t) => check(k, rewritten(t, { kid: 'x' })),
      /^key$/,
    ],
    ['a token whose header says none', (k, t) => check(k, rewritten(t, { alg: 'none' })), /^key$/],
    [
      'a token whose header has one more member',
      (k, t) => check(k, rewritten(t, { jku: 'https://x' })),
      /^header$/,
    ],
  ]
  for (const [title, send, why] of wrong) {
    test(`refuses ${title}, and has spent nothing by it`, async () => {
      const key = generateSenderKey()
      const token = await tokenFor(key)
      const told = await send(key, token)
      assert.equal(told.ok, false, JSON.stringify(told))
      assert.match(String(told.why), why)
      assert.equal((await check(key, token)).ok, true)
    })
  }

  /** Each: a token that the broker's own key has signed and no broker would sign. */
  const unfit: [string, Partial<Record<keyof TokenClaims | 'nbf', Json>>, RegExp][] = [
    ['that has expired', { iat: now() - 200, exp: now() - 10 }, /ExpiredSignature/],
    ['of the future', { iat: now() + 60, exp: now() + 90 }, /^(lifetime|token: ImmatureSignature)/],
    ['that lives too long', { exp: now() + 900 }, /^lifetime$/],
    ['of another issuer', { iss: 'https://other.example' }, /InvalidIssuer/],
    ['for another server', { aud: 'https://other.example/mcp' }, /InvalidAudience/],
    ['for two servers', { aud: [RESOURCE, 'https://other.example/mcp'] }, /InvalidAudience/],
    ['that anybody may carry', { cnf: undefined }, /^unbound$/],
    ['bound in two ways', { cnf: { jkt: hash('a'), 'x5t#S256': hash('b') } }, /^unbound$/],
    ['of both scopes', { scope: 'mcp:action mcp:session' }, /^scope$/],
    ['of a session that grants an action', { scope: 'mcp:session' }, /^details$/],
    ['that names nobody', { sub: undefined }, /MissingRequiredClaim/],
    ['with an actor that is no object', { act: 'spiffe://x' as unknown as Json }, /^act$/],
    ['with links that are no list', { via: 'x' }, /^via$/],
    [
      'bound to a certificate that is not there',
      { cnf: { 'x5t#S256': hash('b') } },
      /^certificate$/,
    ],
  ]
  for (const [title, change, why] of unfit) {
    test(`refuses a token ${title}`, async () => {
      const key = generateSenderKey()
      const claims = claimsOf(await tokenFor(key))
      const sign = (changes: object) =>
        real.sign(whole({ ...claims, jti: randomUUID(), ...changes }) as unknown as TokenClaims)
      assert.equal((await check(key, sign({}))).ok, true)
      const told = await check(key, sign(change))
      assert.equal(told.ok, false, JSON.stringify(told))
      assert.match(String(told.why), why)
    })
  }

  test('refuses a token that somebody else has signed', async () => {
    const key = generateSenderKey()
    const token = await tokenFor(key)
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const kid = String(headerOf(token).kid)
    const forged = signJws({ typ: 'at+jwt' }, claimsOf(token) as JsonObject, {
      kid,
      algorithm: 'ES256',
      key: privateKey,
      publicJwk: {},
    })
    assert.match(String((await check(key, forged)).why), /InvalidSignature/)
  })

  test('takes a token bound to a certificate from who shows that certificate, as Bearer', async () => {
    const key = generateSenderKey()
    const der = Buffer.from('stands for the DER of a certificate that TLS has proved')
    const cnf = { 'x5t#S256': createHash('sha256').update(der).digest('base64url') }
    const claims = { ...claimsOf(await tokenFor(key)), jti: randomUUID(), cnf }
    const token = real.sign(claims as unknown as TokenClaims)
    const shown = { certificate: der.toString('base64url'), scheme: 'Bearer', proofs: [] }
    const other = { ...shown, certificate: Buffer.from('other').toString('base64url') }
    assert.deepEqual(await check(key, token, other), { ok: false, why: 'certificate' })
    assert.equal((await check(key, token, { ...shown, scheme: 'DPoP' })).ok, false)
    assert.equal((await check(key, token, shown)).ok, true)
  })

  test('agrees with every published vector of hashes', async () => {
    for (const vector of [...hashVectors.arguments, ...hashVectors.inputs]) {
      const { ok, canonical, hash } = await ask('hash', { text: base64(received(vector)) })
      assert.deepEqual([ok, canonical, hash], [true, vector.canonical, vector.hash], vector.name)
    }
    for (const vector of hashVectors.definitions) {
      const { hash } = await ask('definition', { text: base64(received(vector)) })
      assert.equal(hash, vector.hash, vector.name)
    }
    for (const vector of hashVectors.refused) {
      assert.equal((await ask('hash', { text: base64(received(vector)) })).ok, false, vector.name)
    }
  })

  test('agrees with every published vector of elements and messages', async () => {
    for (const { name, element, accept } of detailVectors.grants) {
      assert.equal((await ask('grants', { element })).grants, accept, name)
    }
    for (const { name, result, ...vector } of detailVectors.matches) {
      const { details, server, message, definition_hash } = vector
      const asked = {
        details: [...details],
        resource: server,
        message,
        definition: definition_hash,
      }
      assert.equal((await ask('covers', asked)).ok, result === 'match', name)
    }
  })
})

function proofOf(
  key: SenderKey,
  change: { url?: string; method?: string; now?: number; accessToken?: string },
): string {
  return makeProof(key, { method: 'POST', url: RESOURCE, now: now(), ...change })
}

function headerOf(token: string): JsonObject {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())
}

function rewritten(token: string, members: JsonObject): string {
  const header = JSON.stringify({ ...headerOf(token), ...members })
  return [Buffer.from(header).toString('base64url'), ...token.split('.').slice(1)].join('.')
}

function changed(token: string): string {
  const [header, , signature] = token.split('.')
  const payload = JSON.stringify({ ...claimsOf(token), sub: 'spiffe://corp.test/agents/other' })
  return [header, Buffer.from(payload).toString('base64url'), signature].join('.')
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

/** Whole seconds, and no member that is undefined. */
function whole(claims: Record<string, unknown>): JsonObject {
  return JSON.parse(
    JSON.stringify(claims, (name, value) =>
      ['iat', 'exp'].includes(name) ? Math.floor(value as number) : value,
    ),
  )
}
