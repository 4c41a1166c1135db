/**
 * Project Wycheproof's JWS cases against the layer that every token and proof goes through: the key is
 * found as a verifier finds it, the signature checked as a verifier checks it.
 *
 * Many of these payloads are no JSON, so the case is judged below `parseJws`, which would refuse them
 * for that alone and prove nothing; what `parseJws` does accept must be accepted here too.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JsonObject } from '../../src/lib/json.ts'
import type { Algorithm } from '../../src/token/algorithm.ts'
import { importJwk } from '../../src/token/jwk.ts'
import {
  decodeHeader,
  decodeSegment,
  JwsError,
  parseJws,
  splitJws,
  verifyJws,
} from '../../src/token/jws.ts'
import { localKeySet } from '../../src/token/key-set.ts'
import type { CorpusResult } from './result.ts'

interface Case {
  readonly tcId: number
  readonly comment: string
  readonly result: 'valid' | 'invalid'
  readonly jws?: unknown
  /** Encrypted tokens: never read, so each must be refused as any other text is. */
  readonly jwe?: unknown
}

interface Group {
  readonly comment: string
  readonly file?: string
  readonly public?: JsonObject
  readonly private?: JsonObject
  readonly tests: readonly Case[]
}

const EVERY_ALGORITHM: readonly Algorithm[] = [
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'Ed25519',
  'EdDSA',
]

export async function run(folder: string): Promise<CorpusResult> {
  const text = await readFile(join(folder, 'wycheproof-jws.json'), 'utf8')
  const groups: readonly Group[] = JSON.parse(text).testGroups
  const wrongAccepts: string[] = []
  const wrongRejects: { id: string; reason: string }[] = []
  let total = 0
  for (const group of groups) {
    for (const one of group.tests) {
      total++
      const id = `${group.file ?? group.comment} ${group.comment} ${one.tcId} ${one.comment}`
      const refusal = refusalOf(one.jws ?? one.jwe, jwksOf(group))
      if (refusal === undefined && one.result === 'invalid') wrongAccepts.push(id)
      if (refusal !== undefined && one.result === 'valid')
        wrongRejects.push({ id, reason: refusal })
    }
  }
  const right = total - wrongAccepts.length - wrongRejects.length
  return { name: 'wycheproof-jws', total, right, wrongAccepts, wrongRejects }
}

/** The group's key or keys, as the only ones trusted. */
function jwksOf(group: Group): JsonObject {
  const trusted = group.public ?? group.private
  if (trusted === undefined) throw new Error(`group ${group.comment} has no key`)
  return Array.isArray(trusted.keys) ? trusted : { keys: [trusted] }
}

/** Why the text is refused; `undefined` when it is accepted. */
function refusalOf(given: unknown, jwks: JsonObject): string | undefined {
  const text = typeof given === 'string' ? given : JSON.stringify(given)
  const refusal = reasonOf(() => verifyBytes(text, jwks))
  const parses = reasonOf(() => parseJws(text, { maxBytes: 64 * 1024 })) === undefined
  if (parses && refusal?.startsWith('form')) {
    throw new Error(`parseJws reads what its own layers refuse: ${refusal}`)
  }
  return refusal
}

function verifyBytes(text: string, jwks: JsonObject): void {
  const segments = splitJws(text, 64 * 1024)
  const header = decodeHeader(segments.header)
  decodeSegment(segments.payload)
  const signature = decodeSegment(segments.signature)
  if (header.kid !== undefined && typeof header.kid !== 'string') {
    throw new JwsError('form', 'kid is not a string')
  }
  const key = localKeySet(jwks, EVERY_ALGORITHM).find(header.kid, String(header.alg))
  if (key === undefined) throw new JwsError('key', whyNoKey(jwks))
  if (!verifyJws({ header, signingInput: segments.signingInput, signature }, key)) {
    throw new JwsError('signature', 'does not verify')
  }
}

function whyNoKey(jwks: JsonObject): string {
  for (const jwk of jwks.keys as readonly unknown[]) {
    const reason = reasonOf(() => importJwk(jwk, EVERY_ALGORITHM))
    if (reason !== undefined) return reason
  }
  return 'no trusted key has this kid and alg'
}

function reasonOf(read: () => unknown): string | undefined {
  try {
    read()
    return undefined
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    return `${error.check}: ${error.message}`
  }
}
