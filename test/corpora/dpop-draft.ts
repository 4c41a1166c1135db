/**
 * A request with a DPoP proof, before it is put together: a good one, which a mutation then changes.
 * The same draft can be judged in memory or sent over HTTP.
 */
import {
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
} from 'node:crypto'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import type { Algorithm } from '../../src/token/algorithm.ts'
import { schemeOf } from '../../src/token/algorithm.ts'
import { signBytes } from '../../src/token/jws.ts'

export type Members = Record<string, Json | undefined>

/** A key pair of the client, with the private half at hand so that it can be misused. */
export interface ClientKey {
  readonly algorithm: Algorithm
  readonly privateKey: KeyObject
  readonly publicJwk: JsonObject
  readonly privateJwk: JsonObject
}

export interface Draft {
  /** Name of the header field that carries the proof. */
  fieldName: string
  /** How many of these fields there are; two carry two different proofs. */
  fields: 0 | 1 | 2
  /** In place of a proof. */
  fieldText: string | undefined
  header: Members
  claims: Members
  /** What the signature is made with; `undefined` leaves it empty. */
  signer: ClientKey | 'hmac' | undefined
  alterSignature: ((signature: Buffer) => Buffer) | undefined
  /** Scheme of the `Authorization` field, where there is a token. */
  scheme: string
  /** Says that the same proof has been used before. */
  replayed: boolean
  token: { audience: string | undefined; boundTo: ClientKey | undefined; expired: boolean }
}

/** What a good proof must say, here and now. */
export interface Situation {
  readonly method: string
  readonly url: string
  /** Seconds since the epoch. */
  readonly now: number
  readonly key: ClientKey
  readonly nonce: string | undefined
  /** Of the token that the request will carry, if it carries one. */
  readonly ath: string | undefined
}

export function goodDraft({ method, url, now, key, nonce, ath }: Situation): Draft {
  return {
    fieldName: 'DPoP',
    fields: 1,
    fieldText: undefined,
    header: { typ: 'dpop+jwt', alg: key.algorithm, jwk: key.publicJwk },
    claims: { jti: randomUUID(), htm: method, htu: url, iat: Math.floor(now), ath, nonce },
    signer: key,
    alterSignature: undefined,
    scheme: 'DPoP',
    replayed: false,
    token: { audience: undefined, boundTo: undefined, expired: false },
  }
}

/** The values of the proof's header fields. */
export function proofFields(draft: Draft): string[] {
  if (draft.fieldText !== undefined) return [draft.fieldText]
  const jtis = [draft.claims.jti, randomUUID()].slice(0, draft.fields)
  return jtis.map((jti) => proofText({ ...draft, claims: { ...draft.claims, jti } }))
}

function proofText({ header, claims, signer, alterSignature }: Draft): string {
  const input = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  const signature = signatureOver(input, signer, header)
  return `${input}.${(alterSignature?.(signature) ?? signature).toString('base64url')}`
}

/** The key confusion attack signs with the text of the public key. */
function signatureOver(input: string, signer: Draft['signer'], header: Members): Buffer {
  if (signer === undefined) return Buffer.alloc(0)
  if (signer !== 'hmac') {
    return signBytes(Buffer.from(input), { algorithm: signer.algorithm, key: signer.privateKey })
  }
  const hash = `sha${String(header.alg).replace(/^\D+/, '') || '256'}`
  return createHmac(hash, JSON.stringify(header.jwk)).update(input).digest()
}

export function hashOfToken(token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}

const clientKeys = new Map<string, ClientKey>()

/** A key of this algorithm; one per `owner`, made when first asked for. */
export function clientKey(algorithm: Algorithm, owner = 'client', rsaBits = 2048): ClientKey {
  const name = `${algorithm} ${owner} ${rsaBits}`
  const known = clientKeys.get(name)
  if (known !== undefined) return known
  const scheme = schemeOf(algorithm)
  const { privateKey, publicKey } =
    scheme.kind === 'ecdsa'
      ? generateKeyPairSync('ec', { namedCurve: scheme.curve.name })
      : scheme.kind === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: rsaBits })
        : generateKeyPairSync('ed25519')
  const made = {
    algorithm,
    privateKey,
    publicJwk: publicKey.export({ format: 'jwk' }) as JsonObject,
    privateJwk: privateKey.export({ format: 'jwk' }) as JsonObject,
  }
  clientKeys.set(name, made)
  return made
}
