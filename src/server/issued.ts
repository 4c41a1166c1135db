/** Reads tokens this broker signed, whoever they are for: access tokens and delegation tokens. */
import { isJsonObject, type JsonObject } from '../lib/json.ts'
import type { SigningKeys } from '../mint/keys.ts'
import type { Subject } from '../revocation/target.ts'
import { MAX_TOKEN_BYTES } from '../token/access-token.ts'
import { isBinding, isLabel, isLinks, isSeconds } from '../token/claim-check.ts'
import type { Binding } from '../token/claims.ts'
import { DELEGATION_TYP } from '../token/delegation.ts'
import { JwsError, parseJws, verifyJws } from '../token/jws.ts'
import { keyName } from '../token/key-name.ts'

const KINDS: ReadonlyMap<string, IssuedToken['kind']> = new Map([
  ['at+jwt', 'access'],
  [DELEGATION_TYP, 'delegation'],
])

/** The claims every token of ours has, and the rest as it stands. */
export interface IssuedToken {
  /** A delegation token gives access to nothing; it only leads to tokens that do. */
  readonly kind: 'access' | 'delegation'
  readonly claims: JsonObject
  readonly jti: string
  readonly sub: string
  readonly clientId: string
  readonly audience: string
  readonly expiresAt: number
  readonly subject: Subject
}

/** A token of ours that is in time; `undefined` for anything else, without saying why. */
export function readIssued(
  text: string,
  options: {
    readonly issuer: string
    readonly keys: Pick<SigningKeys, 'verification'>
    readonly now: number
  },
): IssuedToken | undefined {
  const { issuer, keys, now } = options
  let jws: ReturnType<typeof parseJws>
  try {
    jws = parseJws(text, { maxBytes: MAX_TOKEN_BYTES })
  } catch (error) {
    if (error instanceof JwsError) return undefined
    throw error
  }
  const { header, payload } = jws
  // The feed is signed with the same keys; `typ` keeps the two apart.
  const kind = KINDS.get(String(header.typ))
  if (kind === undefined || typeof header.kid !== 'string') return undefined
  const key = keys.verification(now).find(header.kid, String(header.alg))
  if (key === undefined || !verifyJws(jws, key)) return undefined
  const { iss, aud, sub, client_id, jti, sid, iat, exp, via, txn, cnf } = payload
  if (iss !== issuer || !isSeconds(iat) || !isSeconds(exp) || !(now < exp)) return undefined
  for (const claim of [aud, sub, client_id, jti, sid])
    if (typeof claim !== 'string') return undefined
  if (via !== undefined && !isLinks(via)) return undefined
  if (txn !== undefined && !isLabel(txn)) return undefined
  if (!isBinding(cnf)) return undefined
  return {
    kind,
    claims: payload,
    jti: jti as string,
    sub: sub as string,
    clientId: client_id as string,
    audience: aud as string,
    expiresAt: exp,
    subject: {
      jti: jti as string,
      session: sid as string,
      agents: [client_id as string, ...actors(payload)],
      principal: sub as string,
      task: txn as string | undefined,
      key: keyName(cnf as unknown as Binding),
      // A delegation token is for the broker, and names no server.
      server: kind === 'access' ? (aud as string) : undefined,
      issuedAt: iat as number,
      links: via as readonly string[] | undefined,
    },
  }
}

function actors(claims: JsonObject): string[] {
  const { act } = claims
  if (act === undefined || !isJsonObject(act)) return []
  return [...(typeof act.sub === 'string' ? [act.sub] : []), ...actors(act)]
}
