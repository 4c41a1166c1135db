import { isJsonObject, type JsonObject, parseJson } from '../../lib/json.ts'
import { importJwk } from '../../token/jwk.ts'
import { type Algorithm, JwsError, type VerificationKey } from '../../token/jws.ts'
import type { Certificate } from '../x509/certificate.ts'
import { importAuthority, isAuthorityKeyType } from './bundle-authority.ts'

/** SP-2: a JWT-SVID is signed by one of these; anything else is refused before it is looked at. */
export const SVID_ALGORITHMS: readonly Algorithm[] = [
  'RS256',
  'RS384',
  'RS512',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
]

/** SPIFFE Trust Domain and Bundle §4.1.2: the hint when a bundle names none. */
export const DEFAULT_REFRESH_HINT_SECONDS = 300
/** A bundle with more keys than this is not a bundle; bounds the work of one reload. */
export const MAX_KEYS = 256
export const MAX_BUNDLE_BYTES = 1024 * 1024

/** The keys one trust domain vouches with, as its bundle document states them. */
export interface Bundle {
  /** `spiffe_sequence`; 64 bits wide. */
  readonly sequence: bigint | undefined
  readonly refreshHintSeconds: number
  /** The JWT-SVID keys that can be used. None: every JWT-SVID of the trust domain is invalid. */
  readonly jwtKeys: readonly BundleKey[]
  /** The certificates that X509-SVIDs may end in. None: every X509-SVID of the domain is invalid. */
  readonly x509Authorities: readonly Certificate[]
  /** Entries that were meant for us and had to be left out, in words. */
  readonly problems: readonly string[]
}

export interface BundleKey {
  readonly kid: string
  /** One key per algorithm that the JWK may be used with. */
  readonly byAlgorithm: ReadonlyMap<string, VerificationKey>
}

/**
 * Reads a SPIFFE bundle document (SPIFFE Trust Domain and Bundle §4): a JWK Set whose entries say
 * what they vouch for, `use: "jwt-svid"` or `use: "x509-svid"`. Entries of other or no use and of
 * unknown key types are left out without a word, as the standard asks, and broken ones with a
 * problem: one bad entry does not take the good ones with it.
 *
 * A JWT-SVID key need not name its algorithm, so an RSA key serves RS* and PS* alike.
 *
 * @throws {Error} when the text is no such document: the caller then keeps what it had. A document
 *   that is well-formed and holds no usable key is *not* an error, it is an instruction to distrust
 */
export function parseBundle(text: string): Bundle {
  const document = parseDocument(text)
  const read = readEntries(document, { plainJwt: false })
  return {
    sequence: parseSequence(document.spiffe_sequence),
    refreshHintSeconds: parseRefreshHint(document.spiffe_refresh_hint),
    jwtKeys: read.jwtKeys,
    x509Authorities: [...read.authorities.values()],
    problems: read.problems,
  }
}

/**
 * Reads the JWK Set that the Workload API gives for one trust domain (SPIFFE Workload API §6.2.3):
 * its keys are for JWT-SVIDs whether they say so or not, and it vouches for nothing else.
 *
 * @throws {Error} when the text is no such document
 */
export function parseJwtBundle(text: string): Pick<Bundle, 'jwtKeys' | 'problems'> {
  return readEntries(parseDocument(text), { plainJwt: true })
}

interface Entries {
  readonly jwtKeys: readonly BundleKey[]
  readonly authorities: ReadonlyMap<string, Certificate>
  readonly problems: readonly string[]
}

function readEntries(document: JsonObject, { plainJwt }: { plainJwt: boolean }): Entries {
  if (!Array.isArray(document.keys)) throw new Error('it has no "keys" array (RFC 7517 §5)')
  if (document.keys.length > MAX_KEYS) throw new Error(`it has more than ${MAX_KEYS} keys`)
  const problems: string[] = []
  const jwtKeys: BundleKey[] = []
  const authorities = new Map<string, Certificate>()
  const kids = new Set<string>()
  for (const [index, jwk] of document.keys.entries()) {
    if (!isJsonObject(jwk)) throw new Error(`keys[${index}] is not an object`)
    const use = plainJwt ? (jwk.use ?? 'jwt-svid') : jwk.use
    const leaveOut = (why: string) => problems.push(`keys[${index}] is left out: ${why}`)
    if (use === 'jwt-svid' && (jwk.kty === 'EC' || jwk.kty === 'RSA')) {
      if (typeof jwk.kid !== 'string' || jwk.kid === '') {
        leaveOut('it has no kid')
        continue
      }
      // Two keys under one name: which one vouches would depend on the order of the file.
      if (kids.has(jwk.kid)) throw new Error(`keys[${index}] repeats the kid of an earlier key`)
      kids.add(jwk.kid)
      const byAlgorithm = importForSvids(jwk)
      if (typeof byAlgorithm === 'string') leaveOut(byAlgorithm)
      else jwtKeys.push({ kid: jwk.kid, byAlgorithm })
    } else if (use === 'x509-svid' && isAuthorityKeyType(jwk.kty)) {
      const authority = importAuthority(jwk)
      if (typeof authority === 'string') leaveOut(authority)
      else authorities.set(authority.thumbprint, authority)
    }
  }
  return { jwtKeys, authorities, problems }
}

// `spiffe_sequence` may use all 64 bits, which strict JSON rightly refuses as a number, so its
// digits become text first. The name with both quotes cannot occur inside a JSON string (the
// closing quote would be escaped there), so only a member's own value can change.
function parseDocument(text: string): JsonObject {
  const json = parseJson(
    text.replace(/("spiffe_sequence"\s*:\s*)([1-9]\d{15,19})(?=\s*[,}])/g, '$1"$2"'),
    {
      maxBytes: MAX_BUNDLE_BYTES,
    },
  )
  if (!isJsonObject(json)) throw new Error('it is not a JSON object')
  return json
}

function parseSequence(value: unknown): bigint | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string' && /^[1-9]\d{15,19}$/.test(value)) return BigInt(value)
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value)
  throw new Error('"spiffe_sequence" is not an unsigned integer')
}

function parseRefreshHint(value: unknown): number {
  if (value === undefined) return DEFAULT_REFRESH_HINT_SECONDS
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new Error('"spiffe_refresh_hint" is not a number of seconds')
}

/** The key under each algorithm it fits, or why it fits none. */
function importForSvids(jwk: JsonObject): ReadonlyMap<string, VerificationKey> | string {
  // `use` has done its work; to a JOSE library "jwt-svid" is an unknown use.
  const { use: _use, ...key } = jwk
  const byAlgorithm = new Map<string, VerificationKey>()
  let problem = 'no algorithm of JWT-SVIDs fits it'
  for (const algorithm of SVID_ALGORITHMS) {
    if (algorithm.startsWith('E') !== (key.kty === 'EC')) continue
    try {
      byAlgorithm.set(algorithm, importJwk(key, [algorithm]))
    } catch (error) {
      if (!(error instanceof JwsError)) throw error
      problem = error.message
    }
  }
  return byAlgorithm.size > 0 ? byAlgorithm : problem
}
