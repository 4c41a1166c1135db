/** Workloads that an OpenID Connect issuer vouches for: CI systems, clouds, platforms. */
import type { Algorithm } from '../../token/algorithm.ts'
import { proven, type Workload } from '../workload.ts'
import { checkOnlyAudience, checkPlainType, type VerifiedToken } from './issued-token.ts'
import {
  openTokenIssuer,
  type ProofContext,
  type TokenIssuer,
  type TokenIssuerOptions,
} from './token-issuer.ts'

export interface WorkloadIssuerOptions
  extends Omit<TokenIssuerOptions, 'audiences' | 'algorithms' | 'issuer'> {
  readonly issuer: string
  /** What `aud` must be, and nothing else; usually the broker's issuer. */
  readonly audience: string
  readonly algorithms?: readonly Algorithm[]
}

const ALGORITHMS: readonly Algorithm[] = ['RS256', 'ES256']

/**
 * Its tokens are JWTs of no particular type (`typ` absent or `JWT`) for this broker alone, and prove
 * `oidc:<alias>:<sub>`.
 *
 * @throws {TypeError} for bad options; {Error} naming a key file that cannot be read
 */
export async function openOidcIssuer(options: WorkloadIssuerOptions): Promise<TokenIssuer> {
  return await openWorkloadIssuer({ ...options, algorithms: options.algorithms ?? ALGORITHMS }, {})
}

/** What one kind of issuer adds. */
export interface WorkloadProfile {
  /** Throws a `Refusal` when the claims do not fit together. */
  check?(token: VerifiedToken): void
  confirm?(text: string, token: VerifiedToken): void | Promise<void>
  close?(): Promise<void>
}

export async function openWorkloadIssuer(
  options: WorkloadIssuerOptions & { readonly algorithms: readonly Algorithm[] },
  profile: WorkloadProfile,
): Promise<TokenIssuer> {
  const { alias, audience } = options
  const audiences = [audience]
  return await openTokenIssuer({ ...options, audiences }, 'workload', {
    ...profile,
    prove(token, context) {
      checkPlainType(token.header)
      checkOnlyAudience(token.claims.aud, audiences)
      profile.check?.(token)
      return { kind: 'jwt', result: { kind: 'workload', workload: workloadOf(token, context) } }
    },
  })

  function workloadOf(token: VerifiedToken, { readAttributes }: ProofContext): Workload {
    return proven({
      id: `oidc:${alias}:${token.subject}`,
      kind: 'oidc',
      issuer: alias,
      expiresAt: token.times.expiresAt,
      credential: token.credential,
      attributes: readAttributes(token.claims),
    })
  }
}
