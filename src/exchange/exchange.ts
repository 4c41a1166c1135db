/**
 * Trades a proof of identity for one token, good for one MCP action.
 *
 * The order is the design:
 *
 * 1. **Prove** — who asks, on whose behalf, and which key will hold the token. Nothing is believed
 *    before this.
 * 2. **Spend** the proof of possession, before anything is minted: a replay can lose a race, but
 *    cannot win a second token. If a later step fails, the caller makes a fresh proof.
 * 3. **Check** that nothing involved is revoked; in memory.
 * 4. **Understand** the action: known server, known definition, valid arguments, within what was
 *    delegated.
 * 5. **Decide**: default deny.
 * 6. **Approve**, when the decision asks for a person.
 * 7. **Record**, durably. No record, no token.
 * 8. **Mint**.
 *
 * Refusals are recorded too; a refusal that cannot be recorded is still a refusal. A delegation token
 * is asked for, decided and recorded in the very same steps.
 */
import type { AuditRecord } from '../audit/record.ts'
import { Refusal, refuse } from '../refusal.ts'
import type { SigningKey } from '../token/jws.ts'
import { sessionId } from '../token/session-id.ts'
import { prepareAccess } from './access.ts'
import type { Broker, ExchangeRequest, Granted } from './broker.ts'
import type { Caller } from './caller.ts'
import { prepareDelegation } from './delegate.ts'
import { keyName } from './key-candidates.ts'
import { prove } from './prove.ts'
import { spendProofs } from './sender-proof.ts'
import { eventRecord, issuedRecord, refusedRecord, type Trail } from './trail.ts'

export { JWT_TOKEN_TYPE } from './prove.ts'

/**
 * Runs the eight steps for one request.
 *
 * @throws {Refusal} the expected no, after it has been recorded
 */
export async function exchange(request: ExchangeRequest, broker: Broker): Promise<Granted> {
  const trail: Trail = { request }
  try {
    return await issue(trail, broker)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    await record(broker, refusedRecord(trail, error.reason, broker.recordArguments))
    throw error
  }
}

async function issue(trail: Trail, broker: Broker): Promise<Granted> {
  const { request } = trail
  const { now } = request

  broker.onStep?.('prove')
  const provenOrPromise = prove(trail, broker)
  const caller = provenOrPromise instanceof Promise ? await provenOrPromise : provenOrPromise

  broker.onStep?.('spend')
  await spendProofs(caller, broker.ledger)
  await watchKeys(trail, caller, broker)

  broker.onStep?.('check')
  checkRevocations(caller, broker, now)

  const prepared =
    request.delegateTo === undefined
      ? prepareAccess(trail, caller, broker)
      : prepareDelegation(trail, caller, request.delegateTo, broker)
  // Asked for before the record, so that no record speaks of a token that could not be signed.
  const key = signingKey(broker, now)

  broker.onStep?.('record')
  await record(broker, issuedRecord(trail, prepared.claims, broker.recordArguments))

  broker.onStep?.('mint')
  return { token: prepared.sign(key), ...prepared.granted }
}

/** Who copies a bearer proof shows it with another key than its owner: that is worth a record. */
async function watchKeys(trail: Trail, { bearers, keys }: Caller, broker: Broker): Promise<void> {
  const key = keyName(keys[0].binding)
  for (const workload of bearers) {
    if ((await broker.senderKeys.check(workload, key, trail.request.now)) !== 'second') continue
    await record(broker, eventRecord(trail, 'identity_second_key'))
  }
}

/** Which of the keys will hold the token is decided later, so the session of none may be stopped. */
function checkRevocations(caller: Caller, { revocations }: Broker, now: number): void {
  const { workload, principal, actors, via, keys } = caller
  const agents = actors.length === 0 ? [workload.id] : actors
  for (const { binding } of keys) {
    const session = sessionId(workload.id, principal, binding)
    revocations.check({ session, agents, principal, links: via }, now)
  }
}

/** @throws {Refusal} `audit_unavailable`: without a record the answer is no, whatever it was going to be */
async function record(broker: Broker, entry: AuditRecord): Promise<void> {
  try {
    await broker.audit.record(entry)
  } catch (error) {
    refuse({ code: 'audit_unavailable', detail: 'the record could not be made durable' }, error)
  }
}

/** @throws {Refusal} `keys_unavailable`: no key signs at this time, as when the clock has gone back */
function signingKey(broker: Broker, now: number): SigningKey {
  try {
    return broker.signingKey(now)
  } catch (error) {
    refuse({ code: 'keys_unavailable', detail: 'no key signs now' }, error)
  }
}
