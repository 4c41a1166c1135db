import type { Subject } from '../revocation/target.ts'
import type { VerifiedToken } from '../token/access-token.ts'
import type { Actor } from '../token/claims.ts'
import { keyName } from '../token/key-name.ts'

/**
 * Every name under which this token may have been stopped: its own, and those of the delegation
 * tokens, sessions and keys it hangs on.
 */
export function subjectOf({ claims }: Pick<VerifiedToken, 'claims'>): Subject {
  return {
    jti: claims.jti,
    session: claims.sid,
    agents: [claims.client_id, ...actors(claims.act)],
    principal: claims.sub,
    task: claims.txn,
    key: keyName(claims.cnf),
    server: claims.aud,
    issuedAt: claims.iat,
    ...(claims.via === undefined ? {} : { links: claims.via }),
  }
}

/** Outermost first. */
export function actors(act: Actor | undefined): string[] {
  return act === undefined ? [] : [act.sub, ...actors(act.act)]
}
