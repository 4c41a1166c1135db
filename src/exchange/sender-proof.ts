import type { Ledger } from '../ledger/ledger.ts'
import { Refusal, refuse } from '../refusal.ts'
import { PROOF_MAX_AHEAD_SECONDS, type VerifiedProof, verifyProof } from '../token/dpop.ts'
import type { Broker } from './broker.ts'
import type { Caller } from './caller.ts'

/**
 * Which key will hold the token: the DPoP proof of a request to the token endpoint (RFC 9449 §5).
 *
 * @throws {Refusal} binding_missing, proof_invalid, nonce_required
 */
export function verifySenderProof(
  request: {
    readonly proofHeaders: readonly string[]
    readonly method: string
    readonly now: number
    /** The external URL that it came to; the broker's token endpoint unless it says another. */
    readonly endpoint?: string
  },
  broker: Pick<Broker, 'tokenEndpoint' | 'nonces'>,
): VerifiedProof | Promise<VerifiedProof> {
  return verifyProof(request.proofHeaders, {
    method: request.method,
    url: request.endpoint ?? broker.tokenEndpoint,
    now: request.now,
    nonces: broker.nonces,
  })
}

/**
 * Spends the proof, so that of any number of uses one succeeds.
 *
 * The store is told when the proof can have been made at the earliest, a sender's clock may be ahead
 * of ours, so that it refuses what it may have seen spent and then forgotten.
 *
 * @throws {Refusal} proof_replayed, token_before_epoch, ledger_unavailable
 */
export async function spendSenderProof(
  proof: VerifiedProof,
  ledger: Pick<Ledger, 'spend'>,
): Promise<void> {
  const earliest = proof.issuedAt - PROOF_MAX_AHEAD_SECONDS
  if (!(await ledger.spend(`p:${proof.id}`, proof.expiresAt, earliest))) {
    refuse({ code: 'proof_replayed' })
  }
}

/**
 * Spends whatever of the caller's proofs is good only once. A certificate is not: the connection
 * proves its key anew each time.
 *
 * @throws {Refusal} proof_replayed, client_rejected, token_before_epoch (of the DPoP proof), ledger_unavailable
 */
export async function spendProofs(
  { proof, spend }: Pick<Caller, 'proof' | 'spend'>,
  ledger: Pick<Ledger, 'spend'>,
): Promise<void> {
  if (proof !== undefined) await spendSenderProof(proof, ledger)
  if (spend !== undefined) await spendAssertion(spend, ledger)
}

async function spendAssertion(
  { id, until, earliest }: NonNullable<Caller['spend']>,
  ledger: Pick<Ledger, 'spend'>,
): Promise<void> {
  let first: boolean
  try {
    first = await ledger.spend(id, until, earliest)
  } catch (error) {
    // Not of the DPoP proof, of which the same reason would speak.
    if (!(error instanceof Refusal) || error.reason.code !== 'token_before_epoch') throw error
    const detail = 'the store may have forgotten that the assertion was used; send iat in it'
    refuse({ code: 'client_rejected', detail }, error)
  }
  if (!first) refuse({ code: 'client_rejected', detail: 'the assertion was used before' })
}
