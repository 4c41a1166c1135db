/**
 * Mutations of DPoP proofs, each applied to a good proof at both doors: a token endpoint (no token, no
 * `ath`) and a resource server (a token bound to the key, `ath`), with and without nonces.
 *
 * The doors here are made of the pieces that broker and verifier use; the same drafts can be sent to
 * the real ones over HTTP.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mintToken, newJti } from '../../src/mint/mint.ts'
import { Refusal, refuse } from '../../src/refusal.ts'
import { createTokenVerifier } from '../../src/token/access-token.ts'
import { PROOF_ALGORITHMS, verifyProof } from '../../src/token/dpop.ts'
import { thumbprintOf } from '../../src/token/jwk.ts'
import { localKeySet } from '../../src/token/key-set.ts'
import { Nonces } from '../../src/token/nonce.ts'
import { clientKey, type Draft, goodDraft, hashOfToken, proofFields } from './dpop-draft.ts'
import { type Door, type Mutation, parseMutation } from './dpop-mutation.ts'
import type { CorpusResult } from './result.ts'

interface Case {
  readonly id: string
  readonly mutation: string
  readonly expect: string
}

const NOW = 1_795_000_000
const ISSUER = 'https://broker.example'
const URLS = { 'token endpoint': `${ISSUER}/token`, 'resource server': 'https://mcp.example/mcp' }
const nonces = new Nonces(Buffer.alloc(32, 9))

export async function run(folder: string): Promise<CorpusResult> {
  const text = await readFile(join(folder, 'dpop-cases.json'), 'utf8')
  const cases: readonly Case[] = JSON.parse(text).cases
  const wrongAccepts: string[] = []
  const wrongRejects: { id: string; reason: string }[] = []
  for (const one of cases) {
    const id = `${one.id} ${one.mutation}`
    const answer = await answerTo(one)
    if (answer.right) continue
    if (answer.refusal === undefined) wrongAccepts.push(`${id}: ${answer.why}`)
    else wrongRejects.push({ id, reason: `${answer.why}: ${answer.refusal}` })
  }
  const right = cases.length - wrongAccepts.length - wrongRejects.length
  return { name: 'dpop-cases', total: cases.length, right, wrongAccepts, wrongRejects }
}

interface Answer {
  readonly right: boolean
  readonly why: string
  readonly refusal?: string | undefined
}

async function answerTo({ mutation: text, expect }: Case): Promise<Answer> {
  if (/metadata|_supported/.test(text)) return metadataAnswer(text, expect)
  if (expect !== 'accept' && expect !== 'reject') {
    return { right: false, why: `expects ${expect}, which is not understood` }
  }
  let mutation: Mutation
  try {
    mutation = parseMutation(text)
  } catch (error) {
    // Not a pass, and not a reason to leave the other cases out.
    return { right: false, why: (error as Error).message }
  }
  for (const door of mutation.doors) {
    for (const withNonces of mutation.needsNonce ? [true] : [false, true]) {
      const refused = await refusalOf(door, withNonces, () => undefined)
      if (refused !== undefined) throw new Error(`a good proof is refused (${refused}) at ${door}`)
      for (const [reading, change] of mutation.readings.entries()) {
        const refusal = await refusalOf(door, withNonces, change)
        const why = `${door}, ${withNonces ? 'with' : 'without'} nonces, reading ${reading + 1}`
        if ((refusal === undefined) !== (expect === 'accept')) return { right: false, why, refusal }
      }
    }
  }
  return { right: true, why: '' }
}

/** What the metadata lists is this list; that it does list it is for the HTTP run to see. */
function metadataAnswer(text: string, expect: string): Answer {
  const symmetric = PROOF_ALGORITHMS.some((name) => /^(none|HS\d+)$/i.test(name))
  const lists = /\b(none|symmetric|hmac|hs\d+)\b/i.test(text)
  const only = /only|\bno\b|not|without|exclude/i.test(text)
  const holds = lists ? symmetric !== only : PROOF_ALGORITHMS.length > 0
  const known = /dpop_signing_alg_values_supported/.test(text)
  const wanted = { present: true, accept: true, absent: false, reject: false }[expect]
  if (!known || wanted === undefined) return { right: false, why: 'is not understood' }
  return { right: holds === wanted, why: 'metadata' }
}

/** The code of the refusal; `undefined` when the request would go through. */
async function refusalOf(
  door: Door,
  withNonces: boolean,
  change: Mutation['readings'][number],
): Promise<string | undefined> {
  const key = clientKey('ES256')
  const situation = {
    method: 'POST',
    url: URLS[door],
    now: NOW,
    key,
    nonce: withNonces ? nonces.issue(NOW) : undefined,
  }
  // The token a draft asks for is made before the proof that has to hash it.
  const wish = goodDraft({ ...situation, ath: undefined })
  change(wish, { ...situation, ath: undefined })
  const token = door === 'resource server' ? await tokenFor(wish) : undefined
  const ath = token === undefined ? undefined : hashOfToken(token)
  const draft = goodDraft({ ...situation, ath })
  change(draft, { ...situation, ath })

  const fields = draft.fieldName.toLowerCase() === 'dpop' ? proofFields(draft) : []
  const spent = new Set<string>()
  const send = () => receive({ scheme: draft.scheme, token, fields, door, withNonces }, spent)
  try {
    if (draft.replayed) await send()
    await send()
    return undefined
  } catch (error) {
    if (error instanceof Refusal) return JSON.stringify(error.reason)
    throw error
  }
}

interface Received {
  readonly scheme: string
  readonly token: string | undefined
  readonly fields: readonly string[]
  readonly door: Door
  readonly withNonces: boolean
}

async function receive({ scheme, token, fields, door, withNonces }: Received, spent: Set<string>) {
  let boundTo: string | undefined
  if (token !== undefined) {
    // RFC 9110 §11.1: the name of a scheme is compared without case.
    if (scheme.toLowerCase() !== 'dpop') refuse({ code: 'token_unbound' })
    const { claims } = await verifier.verify(token, NOW)
    boundTo = 'jkt' in claims.cnf ? claims.cnf.jkt : undefined
  }
  const proof = await verifyProof(fields, {
    method: 'POST',
    url: URLS[door],
    now: NOW,
    nonces: withNonces ? nonces : undefined,
    accessToken: token,
  })
  if (boundTo !== undefined && boundTo !== proof.jkt) refuse({ code: 'key_mismatch' })
  if (spent.has(proof.id)) refuse({ code: 'proof_replayed' })
  spent.add(proof.id)
}

const issuerKey = clientKey('ES256', 'issuer')
const issuerJwk = { ...issuerKey.publicJwk, kid: 'issuer', alg: 'ES256' }
const verifier = createTokenVerifier({
  issuer: ISSUER,
  audience: URLS['resource server'],
  keys: localKeySet({ keys: [issuerJwk] }, ['ES256']),
})

async function tokenFor({ token, signer, header }: Draft): Promise<string> {
  const own = signer === 'hmac' || signer === undefined ? clientKey('ES256') : signer
  const boundTo = token.boundTo ?? (header.jwk === own.publicJwk ? own : clientKey('ES256'))
  const issuedAt = token.expired ? NOW - 250 : NOW
  const claims = {
    iss: ISSUER,
    aud: token.audience ?? URLS['resource server'],
    sub: 'user:1',
    client_id: 'spiffe://corp.example/bot',
    jti: newJti(),
    iat: issuedAt,
    exp: issuedAt + 60,
    sid: 'a-session',
    scope: 'mcp:session',
    cnf: { jkt: await thumbprintOf(boundTo.publicJwk) },
  }
  const { privateKey } = issuerKey
  return mintToken(claims, {
    kid: 'issuer',
    algorithm: 'ES256',
    key: privateKey,
    publicJwk: issuerJwk,
  })
}
