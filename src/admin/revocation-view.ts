/** How a revocation is told, with who of the holders has it. */
import { holds } from '../revocation/held.ts'
import { type RecordedRevocation, stateOf } from '../revocation/recorded.ts'
import { canUndo } from '../revocation/target.ts'
import type { Holder as HolderState } from '../sessions/holders.ts'
import type { Names } from './names.ts'
import type { Holder, HolderOfRevocation } from './schemas/holders.ts'
import type { Revocation } from './schemas/revocations.ts'

export function holderOf(state: HolderState): Holder {
  const { id, kind, server, client, lastHeardAt, silent, fresh, lost } = state
  return {
    id,
    kind,
    ...(server === undefined ? {} : { server }),
    ...(client === undefined ? {} : { client }),
    lastHeardAt,
    silent,
    fresh,
    lost,
  }
}

export function holdersOf(
  revocation: RecordedRevocation,
  holders: readonly HolderState[],
): HolderOfRevocation[] {
  return holders.map((holder) => ({
    ...holderOf(holder),
    holds: holds(revocation, holder.heard),
  }))
}

/** What a revocation is told with. */
export interface Around {
  readonly holders: readonly HolderState[]
  readonly names: Names
  /** Seconds since the epoch. */
  readonly now: number
}

export function revocationOf(
  revocation: RecordedRevocation,
  { holders, names, now }: Around,
): Revocation {
  const { id, target, at, until, reason, by, undone } = revocation
  const state = stateOf(revocation, now)
  const heardFrom = holders.filter(({ silent }) => !silent)
  const holding = heardFrom.filter(({ heard }) => holds(revocation, heard)).length
  return {
    id,
    target: { ...target },
    at,
    ...(until === undefined ? {} : { until }),
    reason,
    ...whoOf(by, names),
    state,
    ...(undone === undefined
      ? {}
      : { undone: { at: undone.at, reason: undone.reason, ...whoOf(undone.by, names) } }),
    canUndo: state === 'live' && canUndo(target),
    holders: { holding, all: heardFrom.length },
  }
}

function whoOf(by: string, names: Names): Pick<Revocation, 'by' | 'byName'> {
  const byName = names.get(by)
  return { by, ...(byName === undefined ? {} : { byName }) }
}
