/** Jobs of GitHub Actions: who runs is said by GitHub, not by the workflow. */
import type { Algorithm } from '../../token/algorithm.ts'
import { refuseToken } from './issued-token.ts'
import { openWorkloadIssuer, type WorkloadIssuerOptions } from './oidc.ts'
import type { TokenIssuer } from './token-issuer.ts'

export const GITHUB_ISSUER = 'https://token.actions.githubusercontent.com'
const ALGORITHMS: readonly Algorithm[] = ['RS256']

/** Claims that are there for policies without being asked for. */
const CLAIMS = [
  'repository',
  'repository_id',
  'repository_owner',
  'repository_owner_id',
  'repository_visibility',
  'ref',
  'ref_type',
  'sha',
  'environment',
  'event_name',
  'workflow',
  'workflow_ref',
  'job_workflow_ref',
  'run_id',
  'run_attempt',
  'runner_environment',
  'actor',
  'actor_id',
]

/** GitHub Enterprise Server, or an enterprise with an issuer of its own, names its `issuer`. */
export type GithubIssuerOptions = Omit<WorkloadIssuerOptions, 'issuer' | 'keys'> &
  Partial<Pick<WorkloadIssuerOptions, 'issuer' | 'keys'>>

/**
 * Its tokens prove `oidc:<alias>:<sub>`, with `sub` as the repository has configured it.
 *
 * @throws {TypeError} for bad options; {Error} naming a key file that cannot be read
 */
export async function openGithubIssuer(options: GithubIssuerOptions): Promise<TokenIssuer> {
  const pointers = Object.fromEntries(CLAIMS.map((name) => [name, `/${name}`]))
  return await openWorkloadIssuer(
    {
      ...options,
      issuer: options.issuer ?? GITHUB_ISSUER,
      keys: options.keys ?? { discovery: true },
      algorithms: options.algorithms ?? ALGORITHMS,
      attributes: { ...pointers, ...options.attributes },
    },
    {
      check({ claims }) {
        // Every job has one. A token without it is of another service with the same issuer.
        if (typeof claims.repository !== 'string') refuseToken('claims')
      },
    },
  )
}
