/**
 * Grants that oidc-provider answers. Their DPoP proof is verified and spent here before it sees them:
 * one implementation of the twelve checks, one nonce, one atomic replay detection for all doors.
 */
import type { Context, Next } from 'koa'
import type { Broker } from '../exchange/broker.ts'
import { spendSenderProof, verifySenderProof } from '../exchange/sender-proof.ts'
import { type Form, withBody } from '../lib/form.ts'
import { headerValues } from '../lib/raw-headers.ts'
import { Refusal } from '../refusal.ts'
import type { VerifiedProof } from '../token/dpop.ts'
import { note } from './answer.ts'
import type { Visit } from './exchange-door.ts'
import { isSpiffeClient } from './presented-client.ts'

/** What the hosted grants know about the sender, put on the koa context here. */
export interface Proven {
  readonly proof: VerifiedProof
  readonly now: number
}

export interface HostedDoor {
  /** Whether this request is one of oidc-provider's. */
  takes(form: Form): boolean
  /** @returns the result for the metrics */
  answer(request: Hosted): Promise<'issued' | 'client_rejected'>
}

interface Hosted {
  readonly ctx: Context
  readonly next: Next
  readonly bytes: Buffer
  readonly visit: Visit
  readonly now: number
}

/** @param adminUrl of the admin side, for which it issues tokens as well */
export function hostedDoor(
  broker: Broker,
  grants: ReadonlySet<string>,
  adminUrl?: string,
): HostedDoor {
  return {
    /** A registered client that asks for a token of its own, for the broker; see `README.md`. */
    takes(form) {
      const grant = form.get('grant_type')
      if (grant === undefined || !grants.has(grant)) return false
      const resource = form.get('resource')
      const forUs = resource === broker.issuer || resource === adminUrl
      if (resource !== undefined && !forUs) return false
      // oidc-provider would pass it over.
      const audience = form.get('audience')
      if (audience !== undefined && audience !== (resource ?? broker.issuer)) return false
      if (form.has('authorization_details') || form.has('requested_token_type')) return false
      return !isSpiffeClient(form)
    },

    async answer({ ctx, next, bytes, visit, now }) {
      const proof = await spendProof(ctx, now)
      ctx.state.proven = { proof, now } satisfies Proven
      ctx.req = withBody(ctx.req, bytes)
      await next()
      if (ctx.state.refused instanceof Refusal) throw ctx.state.refused
      if (ctx.status === 200) return 'issued'
      await note(broker.audit, ctx, {
        door: visit.door,
        now,
        outcome: 'refused',
        reason: { code: 'client_rejected', detail: String((ctx.body as HostedError)?.error) },
        about: { key: proof.jkt },
      })
      return 'client_rejected'
    },
  }

  /** @throws {Refusal} `binding_missing`, `proof_invalid`, `nonce_required`, `proof_replayed` … */
  async function spendProof(ctx: Context, now: number): Promise<VerifiedProof> {
    const proofHeaders = headerValues(ctx.req, 'dpop')
    const proof = await verifySenderProof({ proofHeaders, method: ctx.method, now }, broker)
    await spendSenderProof(proof, broker.ledger)
    return proof
  }
}

interface HostedError {
  readonly error?: unknown
}
