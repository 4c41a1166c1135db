/** A proof of identity as somebody has it at hand: read and named, believed by nobody. */

import { GITHUB_ISSUER } from '../identity/issuers/github.ts'
import { parseCertificate } from '../identity/x509/certificate.ts'
import { CertificateError } from '../identity/x509/certificate-error.ts'
import { isJsonObject, type JsonObject } from '../lib/json.ts'
import { ACTION_SCOPE, SESSION_SCOPE } from '../token/claims.ts'
import { DELEGATION_TYP } from '../token/delegation.ts'
import { decodeJsonSegment, JwsError, splitJws } from '../token/jws.ts'
import { CliError } from './answer.ts'

export type Credential =
  | {
      readonly form: 'token'
      readonly text: string
      readonly header: JsonObject
      readonly claims: JsonObject
    }
  | {
      readonly form: 'certificate'
      /** DER, the leaf first. */
      readonly chain: readonly Uint8Array[]
      /** A private key stood beside it; it was not looked at. */
      readonly besideKey: boolean
    }

/** What each kind is called, at the beginning of a sentence. */
export const KIND_NAMES = {
  jwt_svid: 'A JWT-SVID',
  x509_svid: 'An X.509 certificate',
  kubernetes: "A Kubernetes service account's token",
  github: "A GitHub Actions job's token",
  workload_token: "A workload's token of an OpenID Connect issuer",
  id_token: "A user's ID token",
  access_token: "A user's access token",
  id_jag: "An identity assertion grant (ID-JAG), a user's",
  delegation: "A delegation token, this broker's kind",
  action: "One of Writ's own action tokens",
  session: "One of Writ's own session tokens",
  proof: 'A DPoP proof: of a key, and of nobody',
  client_assertion: "A client's assertion (private_key_jwt)",
  token: 'A JSON Web Token',
} as const

export type CredentialKind = keyof typeof KIND_NAMES

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----/g

/** @throws {CliError} refused, when the text is neither a token nor a certificate */
export function readCredential(input: string): Credential {
  const text = input.trim()
  return text.includes('-----BEGIN ') ? readPem(text) : readToken(text)
}

function readPem(text: string): Credential {
  const blocks = [...text.matchAll(PEM_BLOCK)].map(([, label = '', body = '']) => ({ label, body }))
  const besideKey = blocks.some(({ label }) => label.endsWith('PRIVATE KEY'))
  const chain = blocks
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ body }) => Buffer.from(body, 'base64'))
  if (chain.length > 0) return { form: 'certificate', chain, besideKey }
  const hint = 'it holds a private key: keep that to yourself, and give the certificate'
  throw new CliError('refused', 'this PEM holds no certificate', besideKey ? { hint } : {})
}

function readToken(text: string): Credential {
  try {
    const segments = splitJws(text)
    const header = decodeJsonSegment(segments.header)
    return { form: 'token', text, header, claims: decodeJsonSegment(segments.payload) }
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    throw new CliError('refused', `this is neither a token nor a certificate: ${error.message}`, {
      hint: 'expected a JWT in compact form, or certificates in PEM',
    })
  }
}

/** What it looks like. Anyone could have written it, so this decides nothing. */
export function likelyKind(credential: Credential): CredentialKind {
  if (credential.form === 'certificate') return 'x509_svid'
  const { header, claims } = credential
  const { iss, sub, scope } = claims
  if (header.typ === DELEGATION_TYP) return 'delegation'
  if (header.typ === 'dpop+jwt') return 'proof'
  if (header.typ === 'oauth-id-jag+jwt') return 'id_jag'
  if (header.typ === 'at+jwt' || header.typ === 'application/at+jwt') {
    if (scope === ACTION_SCOPE) return 'action'
    return scope === SESSION_SCOPE ? 'session' : 'access_token'
  }
  if (typeof sub === 'string' && sub.startsWith('spiffe://')) return 'jwt_svid'
  if (isJsonObject(claims['kubernetes.io'])) return 'kubernetes'
  if (iss === GITHUB_ISSUER) return 'github'
  if (iss !== undefined && iss === sub) return 'client_assertion'
  const ofUsers = ['nonce', 'at_hash', 'azp', 'auth_time', 'email'].some((name) => name in claims)
  return ofUsers ? 'id_token' : 'token'
}

/** @throws {CliError} refused, when the leaf cannot be read */
export function readLeaf(chain: readonly Uint8Array[]) {
  try {
    return parseCertificate(chain[0] ?? new Uint8Array())
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    throw new CliError('refused', `this certificate cannot be read: ${error.message}`)
  }
}
