/** What is asked to be stopped: read, judged as wide or not, and said as a command. */
import { hashJson } from '../action/hash.ts'
import { parseSpiffeId } from '../identity/spiffe-id.ts'
import { isWorkloadId } from '../identity/workload-id.ts'
import type { Json } from '../lib/json.ts'
import { Refusal } from '../refusal.ts'
import { parseTarget, type Target } from '../revocation/target.ts'
import { targetText } from '../revocation/target-text.ts'
import { invalid } from './request.ts'
import type { Target as GivenTarget, NewRevocations } from './schemas/revocations.ts'
import { isSessionId, NO_SESSION_ID } from './session-id.ts'
import { commandOf } from './shell.ts'

/** More at once than somebody who looks at each of them stops. */
const MANY = 10
const WIDE_KINDS: readonly Target['kind'][] = ['server', 'issuer', 'before']

/** @throws {AdminRefusal} request_invalid, pointing at the target */
export function targetsOf(given: readonly GivenTarget[]): Target[] {
  const seen = new Set<string>()
  return given.map((each, at) => {
    const target = targetOf(each, `/targets/${at}`)
    const text = targetText(target)
    if (seen.has(text)) invalid(`/targets/${at}`, 'is there twice')
    seen.add(text)
    return target
  })
}

function targetOf({ kind, value, beneath, principal }: GivenTarget, pointer: string): Target {
  try {
    const target = parseTarget({
      kind,
      value,
      ...(beneath === undefined ? {} : { beneath }),
      ...(principal === undefined ? {} : { principal }),
    })
    if (kind === 'agent') checkAgent(value, beneath === true, pointer)
    if (kind === 'session' && !isSessionId(value)) invalid(`${pointer}/value`, NO_SESSION_ID)
    return target
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return invalid(pointer, error.message)
  }
}

/** An id of another form is no workload's: it would stop nothing, and look as if it did. */
function checkAgent(value: string, beneath: boolean, pointer: string): void {
  if (isWorkloadId(value)) return
  try {
    parseSpiffeId(value)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    invalid(`${pointer}/value`, 'is no id of a workload')
  }
  if (!beneath)
    invalid(`${pointer}/value`, 'is a trust domain; stop it as an issuer, or beneath it')
}

/** Whether a person has to touch a passkey for exactly this. */
export function isWide(targets: readonly Target[]): boolean {
  return (
    targets.length > MANY ||
    targets.some(({ kind, beneath }) => beneath === true || WIDE_KINDS.includes(kind))
  )
}

/** What a touch is a touch for: base64url(SHA-256(canonical JSON of targets, reason and end)). */
export function actionHash({ targets, reason, until }: Omit<NewRevocations, 'touch'>): string {
  const action = { targets: targets as Json, reason }
  return hashJson(until === undefined ? action : { ...action, until })
}

/** What may be said of a stop before it is made. */
export interface Why {
  readonly reason?: string | undefined
  /** Seconds since the epoch. */
  readonly until?: number | undefined
}

/** The same thing as a command. */
export function revokeCommand(targets: readonly Target[], { reason, until }: Why = {}): string {
  return commandOf(
    ...['writ', 'revoke', ...targets.map(targetText)],
    ...(reason === undefined ? [] : ['--reason', reason]),
    ...(until === undefined
      ? []
      : ['--until', new Date(until * 1000).toISOString().replace('.000', '')]),
  )
}
