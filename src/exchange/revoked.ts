import type { Subject } from '../revocation/target.ts'
import { keyName } from '../token/key-name.ts'
import type { Broker } from './broker.ts'
import type { Caller } from './caller.ts'
import type { Trail } from './trail.ts'

/**
 * Step 3, and once more when the request names a task, which is understood later.
 *
 * Which of the keys will hold the token is decided later, so the session of none may be stopped. A key
 * that proves who asks may be stopped no more than the one that will hold the token.
 *
 * @throws {Refusal} revoked, revocations_stale
 */
export function checkRevocations(
  { request }: Trail,
  caller: Caller,
  { revocations }: Broker,
  task?: string,
): void {
  const { workload, principal, actors, via, keys, provedKeys, subject } = caller
  const delegation = subject?.kind === 'delegation' ? subject.delegation : undefined
  const common: Omit<Subject, 'session'> = {
    agents: actors.length === 0 ? [workload.id] : actors,
    principal,
    links: via,
    task: delegation?.txn ?? task,
    server: request.resource,
    // What is issued now hangs on the delegation, and is no younger than that.
    issuedAt: delegation?.iat ?? Math.floor(request.now),
  }
  for (const key of provedKeys) {
    const name = keyName(key.binding)
    const { session } = keys.find(({ binding }) => keyName(binding) === name) ?? keys[0]
    revocations.check({ ...common, session, key: name }, request.now)
  }
}
