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
import { keyName } from '../token/key-name.ts'
import { prepareAccess } from './access.ts'
import type { Broker, ExchangeRequest, Granted } from './broker.ts'
import type { Caller } from './caller.ts'
import { prepareDelegation } from './delegate.ts'
import { prove } from './prove.ts'
import { checkRevocations } from './revoked.ts'
import { spendProofs } from './sender-proof.ts'
import { eventRecord, identityOf, issuedRecord, refusedRecord, type Trail } from './trail.ts'

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
    const entry = refusedRecord(trail, error.reason, broker.recordArguments)
    await record(broker, entry)
    note(broker, entry, trail)
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
  checkRevocations(trail, caller, broker)

  const prepared =
    request.delegateTo === undefined
      ? prepareAccess(trail, caller, broker)
      : prepareDelegation(trail, caller, request.delegateTo, broker)
  // Asked for before the record, so that no record speaks of a token that could not be signed.
  const key = signingKey(broker, now)

  broker.onStep?.('record')
  const entry = issuedRecord(trail, prepared.claims, broker.recordArguments)
  await record(broker, entry)

  broker.onStep?.('mint')
  const token = prepared.sign(key)
  note(broker, entry, trail)
  return { token, ...prepared.granted }
}

/** Who copies a bearer proof shows it with another key than its owner: that is worth a record. */
async function watchKeys(trail: Trail, { bearers, keys }: Caller, broker: Broker): Promise<void> {
  const key = keyName(keys[0].binding)
  for (const workload of bearers) {
    if ((await broker.senderKeys.check(workload, key, trail.request.now)) !== 'second') continue
    await record(broker, eventRecord(trail, 'identity_second_key'))
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

/** The audit has it already: a book of sessions that fails is no reason to refuse anything. */
function note({ sessions }: Broker, entry: AuditRecord, { workload }: Trail): void {
  if (sessions === undefined || entry.session === undefined) return
  try {
    sessions.note(entry, workload && identityOf(workload))
  } catch {
    // What is wrong with it is for its own part of the broker to say.
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
