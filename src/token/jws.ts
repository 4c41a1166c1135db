/**
 * JSON Web Signatures in the one form Writ speaks: compact, canonical, asymmetric (RFC 7515 §3.1).
 *
 * `parse…` and `split…` believe nothing. `verify…` is synchronous node:crypto on an imported key:
 * an asynchronous hand-over costs as much as the signature check itself.
 */
import { constants, type KeyObject, sign, verify } from 'node:crypto'
import { decodeBase64url, encodeBase64url } from '../lib/base64url.ts'
import { isJsonObject, type JsonObject, parseJson } from '../lib/json.ts'
import { type Algorithm, isAlgorithm, sameAlgorithm, schemeOf } from './algorithm.ts'
import { derFromJws, jwsFromDer } from './ecdsa.ts'

export type { Algorithm } from './algorithm.ts'

/** Which part of a JWS was not acceptable. The message never holds any of its text. */
export class JwsError extends Error {
  readonly check: 'form' | 'algorithm' | 'key' | 'signature'

  constructor(check: JwsError['check'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'JwsError'
    this.check = check
  }
}

/** The three segments as received; nothing has been decoded or believed. */
export interface JwsSegments {
  readonly header: string
  readonly payload: string
  readonly signature: string
  /** The bytes that were signed: header, dot, payload (RFC 7515 §5.1). ASCII once decoded. */
  readonly signingInput: string
}

/** A JWS that is well formed; its signature has not been checked. */
export interface Jws {
  readonly header: JsonObject
  readonly payload: JsonObject
  readonly headerSegment: string
  readonly signingInput: string
  readonly signature: Buffer
}

/** A public key and the one algorithm it is good for. */
export interface VerificationKey {
  readonly kid: string | undefined
  readonly algorithm: Algorithm
  readonly key: KeyObject
}

/** A private key, the one algorithm it signs with, and what is published about it. */
export interface SigningKey {
  readonly kid: string
  readonly algorithm: Algorithm
  readonly key: KeyObject
  readonly publicJwk: JsonObject
}

const MAX_JWS_BYTES = 16 * 1024
/** Two levels hold every header; a few more, every set of claims (`act` chains, details). */
const MAX_DEPTH = 32

/**
 * Header parameters that would change what is verified or with which key (RFC 8725 §2.4, §3.10;
 * RFC 7797). None is ever needed here, so each is refused where it stands.
 */
const REFUSED_PARAMETERS = ['crit', 'b64', 'zip', 'enc', 'jku', 'x5u', 'x5c']

/** @throws {JwsError} `form` unless `text` is three segments of at most `maxBytes` in all */
export function splitJws(text: string, maxBytes: number = MAX_JWS_BYTES): JwsSegments {
  if (typeof text !== 'string') throw new JwsError('form', 'expected a string')
  if (text.length > maxBytes) throw new JwsError('form', `expected at most ${maxBytes} bytes`)
  const first = text.indexOf('.')
  const second = text.indexOf('.', first + 1)
  if (first < 1 || second < 0 || text.indexOf('.', second + 1) >= 0) {
    throw new JwsError('form', 'expected three segments')
  }
  return {
    header: text.slice(0, first),
    payload: text.slice(first + 1, second),
    signature: text.slice(second + 1),
    signingInput: text.slice(0, second),
  }
}

/**
 * The same text in memory of its own. A segment is a view of the whole header field it was cut from;
 * kept in a cache as it is, it would keep all of that alive.
 */
export function ownText(segment: string): string {
  return Buffer.from(segment, 'latin1').toString('latin1')
}

/** @throws {JwsError} `form` unless `segment` is base64url in its one canonical spelling */
export function decodeSegment(segment: string): Buffer {
  const bytes = decodeBase64url(segment)
  if (bytes === undefined) throw new JwsError('form', 'expected canonical base64url')
  return bytes
}

/** @throws {JwsError} `form` unless `segment` holds one strict JSON object */
export function decodeJsonSegment(segment: string): JsonObject {
  const bytes = decodeSegment(segment)
  let value: ReturnType<typeof parseJson>
  try {
    value = parseJson(bytes, { maxDepth: MAX_DEPTH })
  } catch (cause) {
    throw new JwsError('form', 'expected strict JSON', { cause })
  }
  if (!isJsonObject(value)) throw new JwsError('form', 'expected a JSON object')
  return value
}

/**
 * Decodes a JOSE header without believing it.
 *
 * @throws {JwsError} `form` on bad text or a parameter that is refused everywhere; `algorithm` when
 *   `alg` is not one of ours
 */
export function decodeHeader(segment: string): JsonObject {
  const header = decodeJsonSegment(segment)
  for (const name of REFUSED_PARAMETERS) {
    if (Object.hasOwn(header, name)) throw new JwsError('form', `header has ${name}`)
  }
  if (!isAlgorithm(header.alg)) throw new JwsError('algorithm', 'alg is not accepted')
  return header
}

/** @throws {JwsError} `form` or `algorithm` */
export function parseJws(text: string, limits?: { readonly maxBytes: number }): Jws {
  const segments = splitJws(text, limits?.maxBytes)
  return {
    header: decodeHeader(segments.header),
    payload: decodeJsonSegment(segments.payload),
    headerSegment: segments.header,
    signingInput: segments.signingInput,
    signature: decodeSegment(segments.signature),
  }
}

/** Whether the signature is `key`'s, made with the one algorithm of that key. Never throws. */
export function verifyJws(
  jws: Pick<Jws, 'header' | 'signingInput' | 'signature'>,
  key: VerificationKey,
): boolean {
  if (typeof jws.header.alg !== 'string') return false
  if (!sameAlgorithm(jws.header.alg, key.algorithm)) return false
  return verifySignature(jws.signingInput, jws.signature, key)
}

/** As `verifyJws`, for a header that has already been compared with the key. */
export function verifySignature(
  signingInput: string,
  signature: Buffer,
  { algorithm, key }: VerificationKey,
): boolean {
  const scheme = schemeOf(algorithm)
  const data = Buffer.from(signingInput, 'latin1')
  switch (scheme.kind) {
    case 'ecdsa': {
      const der = derFromJws(signature, scheme.curve)
      return der !== undefined && verify(scheme.hash, data, key, der)
    }
    case 'rsa':
      // OpenSSL asks for exactly the length of the modulus (RFC 8017 §8.1.2, §8.2.2 step 1).
      return verify(scheme.hash, data, scheme.padding === 'pss' ? pss(key) : key, signature)
    case 'ed25519':
      return verify(null, data, key, signature)
  }
}

/** Signs; `alg` and `kid` are the key's and cannot be overridden. */
export function signJws(header: JsonObject, payload: JsonObject, key: SigningKey): string {
  return signSegments(encodeHeader(header, key), payload, key)
}

/** The header segment `signJws` would use, for callers that sign many payloads under one header. */
export function encodeHeader(
  header: JsonObject,
  key: Pick<SigningKey, 'kid' | 'algorithm'>,
): string {
  return encodeBase64url(JSON.stringify({ ...header, alg: key.algorithm, kid: key.kid }))
}

export function signSegments(
  headerSegment: string,
  payload: JsonObject,
  key: Pick<SigningKey, 'algorithm' | 'key'>,
): string {
  const signingInput = `${headerSegment}.${encodeBase64url(JSON.stringify(payload))}`
  const signature = signBytes(Buffer.from(signingInput, 'latin1'), key)
  return `${signingInput}.${encodeBase64url(signature)}`
}

/** The signature in the form JWS uses (RFC 7518 §3). */
export function signBytes(
  data: Uint8Array,
  { algorithm, key }: Pick<SigningKey, 'algorithm' | 'key'>,
): Buffer {
  const scheme = schemeOf(algorithm)
  switch (scheme.kind) {
    case 'ecdsa':
      return jwsFromDer(sign(scheme.hash, data, key), scheme.curve)
    case 'rsa':
      return sign(scheme.hash, data, scheme.padding === 'pss' ? pss(key) : key)
    case 'ed25519':
      return sign(null, data, key)
  }
}

/** RFC 7518 §3.5: the salt is exactly as long as the digest. */
function pss(key: KeyObject) {
  return {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  }
}
