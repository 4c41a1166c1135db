/** Stopping things: whether the one who asks may, and once only, whatever happens in between. */
import { cut } from '../audit/record.ts'
import type { Position } from '../revocation/history.ts'
import type { RecordedRevocation } from '../revocation/recorded.ts'
import type { Target } from '../revocation/target.ts'
import { targetText } from '../revocation/target-text.ts'
import type { AdminParts } from './parts.ts'
import type { Call } from './route.ts'
import type { NewRevocations } from './schemas/revocations.ts'
import { checkedStop } from './stop-asked.ts'
import { actionHash, isWide, targetsOf } from './targets.ts'
import { checkTouched } from './touch.ts'

/** The clocks of two brokers may differ by this much in all. */
const CLOCKS_DIFFER_SECONDS = 4
const HISTORY_PAGE = 500

/**
 * What has to be right before anything is recorded or changed.
 *
 * @throws {AdminRefusal} request_invalid, touch_required
 */
export async function checkRevoke(call: Call<unknown, NewRevocations>): Promise<void> {
  const { body } = call
  if (isWide(checkedStop(call))) await checkTouched(call, actionHash(body), body.touch)
}

/** @returns in the order of the targets */
export async function revoke(
  call: Call<unknown, NewRevocations>,
): Promise<readonly RecordedRevocation[]> {
  const { parts, body, admin, begunAt } = call
  const targets = targetsOf(body.targets)
  const done =
    begunAt === undefined
      ? new Map<string, RecordedRevocation>()
      : await doneSince(parts, begunAt - CLOCKS_DIFFER_SECONDS, { body, by: admin.id })
  const missing = targets.filter((target) => !done.has(targetText(target)))
  const { reason, until } = body
  const made = await parts.history.revoke(
    missing.map((target) => ({
      target,
      reason,
      by: admin.id,
      ...(until === undefined ? {} : { until }),
    })),
  )
  missing.forEach((target, at) => {
    const revocation = made[at]
    if (revocation === undefined) throw new Error('a revocation was asked for and not made')
    done.set(targetText(target), revocation)
  })
  return targets.map((target) => done.get(targetText(target))!)
}

/**
 * What an attempt that nobody finished has done of this request: in the history, or, when it ended
 * between the two, in the feed alone.
 */
async function doneSince(
  { history, revocations }: AdminParts,
  since: number,
  { body, by }: { readonly body: NewRevocations; readonly by: string },
): Promise<Map<string, RecordedRevocation>> {
  const isOurs = (each: { at: number; by: string; reason: string; until?: number }) =>
    each.at >= since && each.by === by && each.reason === body.reason && each.until === body.until
  const done = new Map<string, RecordedRevocation>()
  for (const revocation of revocations.list()) {
    if (isOurs(revocation)) done.set(targetText(revocation.target), revocation)
  }
  let after: Position | undefined
  for (;;) {
    const { items, next } = await history.list({ limit: HISTORY_PAGE, after })
    for (const each of items) if (isOurs(each)) done.set(targetText(each.target), each)
    if (next === undefined || next.order < since) return done
    after = next
  }
}

/** For the audit: what is to be stopped, in words. */
export function namesOf(targets: readonly Target[]): string[] {
  return targets.map((target) => cut(targetText(target)))
}
