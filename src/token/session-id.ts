import type { Binding } from './claims.ts'
import { hashStrings } from './hash-strings.ts'

/**
 * The session of a workload acting for a principal with one key: a hash of the three, so that every
 * process knows it without asking. A new key is a new session.
 */
export function sessionId(workload: string, principal: string, binding: Binding): string {
  const [kind, thumbprint] =
    'jkt' in binding ? ['jkt', binding.jkt] : ['x5t#S256', binding['x5t#S256']]
  return hashStrings([workload, principal, kind, thumbprint])
}
