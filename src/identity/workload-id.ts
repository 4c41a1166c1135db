/** The ids of workloads, in the two forms that `identity/` writes them. */
import { isSpiffeWorkload } from './spiffe-id.ts'

/** What an issuer may call a workload. Ids are shown, logged and compared: nothing in them may be invisible (RFC 8725 §3.9). */
const NAME = '[^\\p{C}\\p{Zl}\\p{Zp}]{1,1024}'
const SUBJECT = new RegExp(`^${NAME}$`, 'u')
const OIDC_WORKLOAD = new RegExp(`^oidc:([A-Za-z0-9._-]{1,64}):${NAME}$`, 'u')

/** Whether `sub` can be part of an id. */
export function isSubject(sub: string): boolean {
  return SUBJECT.test(sub)
}

/** The alias of the issuer in `oidc:<alias>:<sub>`; undefined for any other text. */
export function oidcAliasOf(id: string): string | undefined {
  return OIDC_WORKLOAD.exec(id)?.[1]
}

/** Whether `id` is of one of the forms; the id of a trust domain is not. */
export function isWorkloadId(id: string): boolean {
  return OIDC_WORKLOAD.test(id) || isSpiffeWorkload(id)
}
