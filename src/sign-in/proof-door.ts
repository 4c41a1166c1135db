/** DPoP proofs on the admin side (RFC 9449): verified by the one implementation, spent in the ledger. */
import type { Context } from 'koa'
import type { Ledger } from '../ledger/ledger.ts'
import { headerValues } from '../lib/raw-headers.ts'
import { Refusal } from '../refusal.ts'
import { PROOF_MAX_AHEAD_SECONDS, type VerifiedProof, verifyProof } from '../token/dpop.ts'
import { AdminRefusal } from './admin-refusal.ts'
import type { Site } from './options.ts'

export interface ProofDoor {
  /**
   * @param accessToken what the proof has to come with, when the request carries one
   * @throws {AdminRefusal} signin_required: proof
   * @throws {Refusal} ledger_unavailable
   */
  prove(ctx: Context, accessToken?: string): Promise<VerifiedProof>
  /** Of any number of uses of one proof, one succeeds. */
  spend(proof: VerifiedProof): Promise<void>
}

export function createProofDoor(
  site: Site,
  ledger: Pick<Ledger, 'spend'>,
  clock: () => number,
): ProofDoor {
  return {
    prove: (ctx, accessToken) =>
      refusing(async () =>
        verifyProof(headerValues(ctx.req, 'dpop'), {
          method: ctx.method,
          url: `${site.url}${ctx.path}`,
          now: clock(),
          accessToken,
        }),
      ),
    spend: (proof) =>
      refusing(async () => {
        const earliest = proof.issuedAt - PROOF_MAX_AHEAD_SECONDS
        if (await ledger.spend(`p:${proof.id}`, proof.expiresAt, earliest)) return
        throw new Refusal({ code: 'proof_replayed' })
      }),
  }
}

/** Which check failed is the cause; what depends on something that does not work stays what it is. */
async function refusing<T>(prove: () => Promise<T>): Promise<T> {
  try {
    return await prove()
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason.code === 'ledger_unavailable') throw error
    throw new AdminRefusal({ code: 'signin_required', why: 'proof' }, { cause: error })
  }
}
