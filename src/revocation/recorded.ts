/** One revocation as the history keeps it: what was stopped, by whom and why, and how it ended. */
import { isJsonObject, type JsonObject } from '../lib/json.ts'
import { hasEnded, parseTarget, type Revocation } from './target.ts'

export interface RecordedRevocation extends Revocation {
  readonly undone?: { readonly at: number; readonly reason: string; readonly by: string }
}

export type RevocationState = 'live' | 'ended' | 'undone'

/** @param now seconds since the epoch */
export function stateOf(recorded: RecordedRevocation, now: number): RevocationState {
  if (recorded.undone !== undefined) return 'undone'
  return hasEnded(recorded, now) ? 'ended' : 'live'
}

/** As a document. */
export function documentOf({ target, undone, ...rest }: RecordedRevocation): JsonObject {
  return {
    ...rest,
    target: { ...target },
    ...(undone === undefined ? {} : { undone: { ...undone } }),
  }
}

/** `undefined` for what no broker wrote. */
export function recordedOf(value: JsonObject): RecordedRevocation | undefined {
  const { id, at, until, reason, by, origin, undone } = value
  if (typeof id !== 'string' || typeof at !== 'number') return undefined
  if (typeof reason !== 'string' || typeof by !== 'string') return undefined
  try {
    return {
      id,
      target: parseTarget(value.target),
      at,
      reason,
      by,
      ...(typeof until === 'number' ? { until } : {}),
      ...(typeof origin === 'string' ? { origin } : {}),
      ...undoneOf(undone),
    }
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

function undoneOf(undone: JsonObject[string] | undefined): Pick<RecordedRevocation, 'undone'> {
  if (!isJsonObject(undone)) return {}
  const { at, reason, by } = undone
  return { undone: { at: Number(at), reason: String(reason), by: String(by) } }
}

/** Whether the text occurs in what a person would look for, in any case of letters. */
export function mentions(recorded: RecordedRevocation, text: string): boolean {
  const { id, target, reason, by, undone } = recorded
  const searched = [id, target.kind, target.value, target.principal, reason, by]
  const wanted = text.toLowerCase()
  return [...searched, undone?.reason, undone?.by].some((each) =>
    each?.toLowerCase().includes(wanted),
  )
}
