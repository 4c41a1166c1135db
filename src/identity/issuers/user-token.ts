/** Tokens that speak for people: ID tokens, RFC 9068 access tokens, identity assertion grants. */
import type { Json, JsonObject } from '../../lib/json.ts'
import type { Algorithm } from '../../token/algorithm.ts'
import { provenUser } from '../user.ts'
import {
  isName,
  parseActors,
  parseBinding,
  parseMayAct,
  parseResources,
  parseScopes,
} from './actor-claims.ts'
import { checkOnlyAudience, refuseToken, type VerifiedToken } from './issued-token.ts'
import { openTokenIssuer, type TokenIssuer, type TokenIssuerOptions } from './token-issuer.ts'
import type { TokenKind } from './token-types.ts'

export type UserTokenKind = Exclude<TokenKind, 'jwt'>

export interface UserIssuerOptions extends Omit<TokenIssuerOptions, 'algorithms'> {
  /** The broker's own issuer: the audience of an ID-JAG, and no issuer of users. */
  readonly broker: string
  readonly algorithms?: readonly Algorithm[]
  /** All three by default. */
  readonly tokenTypes?: readonly UserTokenKind[]
}

const ALGORITHMS: readonly Algorithm[] = ['RS256', 'ES256']
const KINDS: readonly UserTokenKind[] = ['id_token', 'access_token', 'id_jag']

/** What a token is, by the one member that its issuer cannot have meant otherwise (RFC 8725 §3.11). */
const KIND_BY_TYPE: ReadonlyMap<Json | undefined, UserTokenKind> = new Map([
  [undefined, 'id_token'],
  ['JWT', 'id_token'],
  ['at+jwt', 'access_token'],
  ['application/at+jwt', 'access_token'],
  ['oauth-id-jag+jwt', 'id_jag'],
])

/**
 * Many issuers give access tokens the `typ` of ID tokens, those of a client for itself among them. What
 * only an access token has tells the two apart (RFC 8725 §3.12; RFC 8693 §4.2, §4.3).
 */
const ACCESS_TOKEN_CLAIMS = ['scope', 'scp', 'client_id']

/**
 * Its tokens prove `user:<alias>:<sub>`. Each of the three kinds has rules that the others break
 * (RFC 8725 §3.12), and an issuer may be limited to some of them.
 *
 * @throws {TypeError} for bad options, the broker's own issuer among them
 * @throws {Error} naming a key file that cannot be read
 */
export async function openUserIssuer(options: UserIssuerOptions): Promise<TokenIssuer> {
  const { alias, audiences, broker } = options
  const kinds = options.tokenTypes ?? KINDS
  if (options.issuer === broker) {
    throw new TypeError(`${alias}: the broker's own tokens prove nothing to the broker`)
  }
  if (kinds.length === 0 || !kinds.every((kind) => KINDS.includes(kind))) {
    throw new TypeError(`${alias}: token types must be some of ${KINDS.join(', ')}`)
  }
  return await openTokenIssuer(
    { ...options, algorithms: options.algorithms ?? ALGORITHMS },
    'user',
    {
      prove(token, { readAttributes, workloadIssuers }) {
        const { claims, subject } = token
        const kind = KIND_BY_TYPE.get(token.header.typ)
        if (kind === undefined) return refuseToken('typ')
        if (!kinds.includes(kind)) return refuseToken('token_type')
        checkKind(kind, token, { audiences, broker })
        // A name of a workload in a user's token would be one party speaking as the other.
        if (/^spiffe:/i.test(subject)) refuseToken('subject')
        const user = provenUser({
          id: `user:${alias}:${subject}`,
          issuer: alias,
          expiresAt: token.times.expiresAt,
          credential: token.credential,
          attributes: readAttributes(claims),
          cnf: parseBinding(claims.cnf),
          mayAct: parseMayAct(claims.may_act, workloadIssuers),
          act: parseActors(claims.act),
          clientId: kind === 'id_jag' ? (claims.client_id as string) : undefined,
          resources: kind === 'id_jag' ? parseResources(claims) : undefined,
          scopes: kind === 'id_jag' ? parseScopes(claims) : undefined,
        })
        return { kind, result: { kind: 'user', user } }
      },
    },
  )
}

/** @throws {Refusal} `identity_invalid`, check `claims`, `audience` or `subject` */
function checkKind(
  kind: UserTokenKind,
  { claims, subject }: VerifiedToken,
  { audiences, broker }: { audiences: readonly string[]; broker: string },
): void {
  if (claims.iat === undefined) refuseToken('claims')
  switch (kind) {
    case 'id_token':
      if (ACCESS_TOKEN_CLAIMS.some((name) => Object.hasOwn(claims, name))) refuseToken('typ')
      if (claims.nonce !== undefined && !isName(claims.nonce)) refuseToken('claims')
      checkAudiences(claims, audiences)
      return
    case 'access_token':
      // RFC 9068 §2.2.
      if (!isName(claims.client_id) || !isName(claims.jti)) refuseToken('claims')
      // §2.2, §5: then the client acts for itself, and its id is no user's.
      if (claims.client_id === subject) refuseToken('subject')
      checkAudiences(claims, audiences)
      return
    case 'id_jag':
      if (!isName(claims.client_id) || !isName(claims.jti)) refuseToken('claims')
      // What may be done is asked here, from this broker's policies, and not granted elsewhere.
      if (claims.authorization_details !== undefined) refuseToken('claims')
      checkOnlyAudience(claims.aud, [broker])
  }
}

/** OpenID Connect Core §3.1.3.7: with several audiences, `azp` says which of them it was issued to. */
function checkAudiences({ aud, azp }: JsonObject, audiences: readonly string[]): void {
  const named = Array.isArray(aud) ? aud : [aud]
  if (!named.every(isName) || !named.some((one) => audiences.includes(one))) {
    refuseToken('audience')
  }
  if (azp !== undefined && !isName(azp)) refuseToken('claims')
  if (named.length > 1 && !(azp !== undefined && audiences.includes(azp as string))) {
    refuseToken('audience')
  }
}
