/**
 * The same mutations of DPoP proofs as in `dpop.ts`, over HTTP, at the token endpoint of a whole
 * broker and at a server behind a gate, with tokens that this broker issued.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TokenClaims } from '../../src/token/claims.ts'
import { PROOF_ALGORITHMS } from '../../src/token/dpop.ts'
import { thumbprintOf } from '../../src/token/jwk.ts'
import {
  type ClientKey,
  clientKey,
  type Draft,
  goodDraft,
  hashOfToken,
  proofFields,
  type Situation,
} from './dpop-draft.ts'
import { type Door, type Mutation, parseMutation } from './dpop-mutation.ts'
import { type Answer, type Doors, type Fields, openDoors } from './http-doors.ts'
import type { CorpusResult } from './result.ts'

interface Case {
  readonly id: string
  readonly mutation: string
  readonly expect: string
}

/** What had to come out and did not. */
interface Wrong {
  readonly why: string
  /** What refused it; `undefined` when it was accepted, or not understood. */
  readonly refusal?: string | undefined
}

export async function run(folder: string): Promise<CorpusResult> {
  const text = await readFile(join(folder, 'dpop-cases.json'), 'utf8')
  const cases: readonly Case[] = JSON.parse(text).cases
  await using stack = new AsyncDisposableStack()
  const open = async (withNonces: boolean) => {
    const doors = await openDoors(withNonces)
    stack.defer(() => doors.close())
    return doors
  }
  const [plain, demanding] = await Promise.all([open(false), open(true)])
  const wrongAccepts: string[] = []
  const wrongRejects: { id: string; reason: string }[] = []
  for (const one of cases) {
    const id = `${one.id} ${one.mutation}`
    const wrong = await wrongIn(one, plain, demanding)
    if (wrong === undefined) continue
    if (wrong.refusal === undefined) wrongAccepts.push(`${id}: ${wrong.why}`)
    else wrongRejects.push({ id, reason: `${wrong.why}: ${wrong.refusal}` })
  }
  const right = cases.length - wrongAccepts.length - wrongRejects.length
  return { name: 'dpop-cases over http', total: cases.length, right, wrongAccepts, wrongRejects }
}

async function wrongIn(
  { mutation: text, expect }: Case,
  plain: Doors,
  demanding: Doors,
): Promise<Wrong | undefined> {
  if (/metadata|_supported/.test(text)) return wrongInMetadata(text, expect, plain)
  if (expect !== 'accept' && expect !== 'reject') {
    return { why: `expects ${expect}, which is not understood` }
  }
  let mutation: Mutation
  try {
    mutation = parseMutation(text)
  } catch (error) {
    return { why: (error as Error).message }
  }
  for (const door of mutation.doors) {
    for (const doors of mutation.needsNonce ? [demanding] : [plain, demanding]) {
      const refused = await refusalOf(doors, door, doors === demanding, () => undefined)
      if (refused !== undefined) throw new Error(`a good proof is refused (${refused}) at ${door}`)
      for (const [reading, change] of mutation.readings.entries()) {
        const refusal = await refusalOf(doors, door, doors === demanding, change)
        const why = `${door}, ${doors === demanding ? 'with' : 'without'} nonces, reading ${reading + 1}`
        if ((refusal === undefined) !== (expect === 'accept')) return { why, refusal }
      }
    }
  }
  return undefined
}

/** Which algorithms the broker and the guarded server say they take. */
async function wrongInMetadata(
  text: string,
  expect: string,
  { urls, real }: Doors,
): Promise<Wrong | undefined> {
  if (!/dpop_signing_alg_values_supported/.test(text) || expect !== 'present') {
    return { why: 'is not understood' }
  }
  const { origin } = new URL(urls['resource server'])
  for (const url of [
    `${real.issuer}/.well-known/oauth-authorization-server`,
    `${origin}/.well-known/oauth-protected-resource/mcp`,
  ]) {
    const document = (await (await fetch(url)).json()) as Record<string, unknown>
    const listed = document.dpop_signing_alg_values_supported
    const good = Array.isArray(listed) && listed.length > 0
    if (!good || listed.some((name) => /^(none|HS\d+)$/i.test(String(name)))) {
      return { why: `${url} lists ${JSON.stringify(listed)}` }
    }
  }
  return undefined
}

/** What the door said; `undefined` when it let the request through. */
async function refusalOf(
  doors: Doors,
  door: Door,
  withNonces: boolean,
  change: Mutation['readings'][number],
): Promise<string | undefined> {
  const situation: Situation = {
    method: 'POST',
    url: doors.urls[door],
    now: Date.now() / 1000,
    key: clientKey('ES256'),
    nonce: withNonces ? await nonceOf(doors, door) : undefined,
    ath: undefined,
  }
  // The token a draft asks for is made before the proof that has to hash it.
  const wish = goodDraft(situation)
  change(wish, situation)
  const token = door === 'resource server' ? await tokenFor(doors, withNonces, wish) : undefined
  const ath = token === undefined ? undefined : hashOfToken(token)
  const draft = goodDraft({ ...situation, ath })
  change(draft, { ...situation, ath })
  const fields: Fields = [
    ...(token === undefined ? [] : [['Authorization', `${draft.scheme} ${token}`] as const]),
    ...proofFields(draft).map((text) => [draft.fieldName, text] as const),
  ]
  if (draft.replayed) await doors.send(door, fields)
  return verdict(door, await doors.send(door, fields))
}

/** @throws {Error} on an answer that is neither a yes nor the right way to say no to a proof */
function verdict(door: Door, answer: Answer): string | undefined {
  const { status, headers, body } = answer
  if (status === 200) return undefined
  const error = String(body.error)
  const refused =
    door === 'token endpoint'
      ? status === 400 && /^(invalid_dpop_proof|use_dpop_nonce)$/.test(error)
      : status === 401 && /(^|, )DPoP /.test(headers['www-authenticate'] ?? '')
  if (!refused) throw new Error(`${door} answered ${status} ${JSON.stringify(body)}`)
  return `${status} ${error}`
}

/** As a client learns it: from an answer without one. */
async function nonceOf(doors: Doors, door: Door): Promise<string> {
  const { headers } = await doors.send(door, [])
  const nonce = headers['dpop-nonce']
  if (typeof nonce !== 'string') throw new Error(`${door} offers no nonce`)
  return nonce
}

const tokens = new WeakMap<Doors, Map<string, Promise<string>>>()

/** A session token, which may be used again, of the key and for the server that the draft wants. */
function tokenFor(doors: Doors, withNonces: boolean, draft: Draft): Promise<string> {
  const own = draft.signer === 'hmac' || draft.signer === undefined ? undefined : draft.signer
  const fitting = own !== undefined && draft.header.jwk === own.publicJwk ? own : clientKey('ES256')
  const key = draft.token.boundTo ?? fitting
  const name = JSON.stringify([key.publicJwk, draft.token.audience, draft.token.expired])
  const known = tokens.get(doors) ?? new Map<string, Promise<string>>()
  tokens.set(doors, known)
  const token = known.get(name) ?? issue(doors, withNonces, key, draft.token)
  known.set(name, token)
  return token
}

async function issue(
  doors: Doors,
  withNonces: boolean,
  key: ClientKey,
  { audience, expired }: Draft['token'],
): Promise<string> {
  // A broker issues nothing to keys it would not accept, and nothing that has expired.
  const accepted = PROOF_ALGORITHMS.some((name) => name === key.algorithm)
  const asking = accepted ? key : clientKey('ES256')
  const proof = goodDraft({
    method: 'POST',
    url: doors.urls['token endpoint'],
    now: Date.now() / 1000,
    key: asking,
    nonce: withNonces ? await nonceOf(doors, 'token endpoint') : undefined,
    ath: undefined,
  })
  const fields = proofFields(proof).map((text) => ['DPoP', text] as const)
  const { status, body } = await doors.send('token endpoint', fields, audience)
  if (status !== 200) throw new Error(`no token: ${status} ${JSON.stringify(body)}`)
  const token = String(body.access_token)
  if (accepted && !expired) return token
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  const claims = JSON.parse(payload) as TokenClaims
  const cnf = { jkt: await thumbprintOf(key.publicJwk) }
  if (!expired) return doors.real.sign({ ...claims, cnf })
  return doors.real.sign({ ...claims, cnf, iat: claims.iat - 400, exp: claims.iat - 200 })
}
