/**
 * Access tokens of programs (RFC 9068): issued by the broker for this audience by `client_credentials`,
 * bound to a key, with a role as their scope. Verified here as an MCP server verifies its own.
 */
import type { SigningKeys } from '../mint/keys.ts'
import { ACCESS_TOKEN_ALGORITHMS } from '../token/algorithm.ts'
import { isBinding, isJti, isLabel, isName, isSeconds } from '../token/claim-check.ts'
import { type Jws, JwsError, parseJws, verifyJws } from '../token/jws.ts'
import type { Role } from './admin.ts'
import { refuseAdmin } from './admin-refusal.ts'
import type { SignInOptions } from './options.ts'
import { roleOf } from './role.ts'

export interface Program {
  readonly clientId: string
  readonly role: Role
  /** The key it is good for. */
  readonly jkt: string
}

export interface ProgramTokenParts
  extends Pick<SignInOptions, 'issuer' | 'clients' | 'revocations'> {
  readonly audience: string
  readonly keys: Pick<SigningKeys, 'verification'>
}

const MAX_TOKEN_BYTES = 8 * 1024
const MAX_LIFETIME_SECONDS = 300
const CLOCK_SKEW_SECONDS = 5

/** @returns a check that throws `AdminRefusal` signin_required, and what `revocations.check` throws */
export function programTokenVerifier(parts: ProgramTokenParts) {
  const { issuer, audience, revocations, clients } = parts
  const allowed = new Map(clients.map(({ clientId, scopes }) => [clientId, new Set(scopes)]))

  return async function verify(text: string, now: number): Promise<Program> {
    const jws = parse(text)
    const { typ, alg, kid } = jws.header
    if (typ !== 'at+jwt' || typeof kid !== 'string' || typeof alg !== 'string') no('form')
    if (!ACCESS_TOKEN_ALGORITHMS.some((name) => name === alg)) no('form')
    const key = parts.keys.verification(now).find(kid, alg)
    if (key === undefined || !verifyJws(jws, key)) no('unknown')

    const { iss, aud, sub, client_id: clientId, jti, sid, iat, exp, cnf, scope } = jws.payload
    if (iss !== issuer) no('unknown')
    if (aud !== audience) no('audience')
    if (!isName(clientId) || sub !== clientId || !isJti(jti) || !isLabel(sid)) no('form')
    if (!isSeconds(iat) || !isSeconds(exp) || !isBinding(cnf) || typeof scope !== 'string')
      no('form')
    const { jkt } = cnf as { jkt?: string }
    if (jkt === undefined) no('proof')
    if (!(exp > iat && exp - iat <= MAX_LIFETIME_SECONDS)) no('form')
    if (!(iat <= now + CLOCK_SKEW_SECONDS && now < exp + CLOCK_SKEW_SECONDS)) no('ended')

    const may = allowed.get(clientId)
    const role = roleOf(scope.split(' ').filter((each) => may?.has(each)))
    if (role === undefined) no('scope')
    const held = { jti, session: sid, key: jkt, server: audience, issuedAt: iat }
    revocations.check({ agents: [clientId], principal: clientId, ...held }, now)
    return { clientId, role, jkt }
  }
}

function parse(text: string): Jws {
  try {
    return parseJws(text, { maxBytes: MAX_TOKEN_BYTES })
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    return no('form')
  }
}

function no(why: 'form' | 'unknown' | 'audience' | 'proof' | 'ended' | 'scope'): never {
  refuseAdmin({ code: 'signin_required', why })
}
