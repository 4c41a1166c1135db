/** What somebody typed, as targets: by the very rules of the broker, so that a fault is named at once. */
import { isSpiffeWorkload } from '../../../identity/spiffe-id.ts'
import { isWorkloadId } from '../../../identity/workload-id.ts'
import { isFarOff } from '../../../revocation/asked.ts'
import { parseTarget } from '../../../revocation/target.ts'
import { isSessionId, NO_SESSION_ID } from '../../session-id.ts'
import type { Target } from '../api/types.ts'

/** Targets of one kind. */
export interface Typed {
  readonly kind: Target['kind']
  /** One on each line; for `before` a local date and time. */
  readonly text: string
  /** For agents: only when acting for this principal; '' for whoever they act for. */
  readonly principal: string
}

export interface Read {
  readonly targets: readonly Target[]
  /** What is wrong with the first line that is; then there are no targets. */
  readonly wrong: string | undefined
}

/** @param now seconds since the epoch */
export function readTyped({ kind, text, principal }: Typed, now: number): Read {
  const lines = text.split('\n').map((line) => line.trim())
  const whom = principal.trim()
  const targets: Target[] = []
  for (const [at, line] of lines.entries()) {
    if (line === '') continue
    try {
      targets.push(readLine(kind, line, kind === 'agent' ? whom : '', now))
    } catch (error) {
      const says = capital((error as Error).message)
      return { targets: [], wrong: lines.length === 1 ? says : `Line ${at + 1}: ${says}` }
    }
  }
  return { targets, wrong: undefined }
}

/** @throws {Error} saying what is wrong with it */
function readLine(kind: Target['kind'], line: string, principal: string, now: number): Target {
  const beneath = kind === 'agent' && line.endsWith('/*')
  const value = beneath ? line.slice(0, -2) : kind === 'before' ? secondsOf(line) : line
  const target = parseTarget({
    kind,
    value,
    ...(beneath ? { beneath } : {}),
    ...(principal === '' ? {} : { principal }),
  })
  if (isFarOff(target, now)) throw new Error('this is a time to come, and could not be undone')
  if (kind === 'agent') checkAgent(value, beneath)
  if (kind === 'session' && !isSessionId(value)) throw new Error(`this ${NO_SESSION_ID}`)
  return target
}

function secondsOf(local: string): string {
  const at = Date.parse(local)
  if (Number.isNaN(at)) throw new Error('a date and a time are needed')
  return String(at / 1000)
}

/** As the broker checks it: an id of another form is no workload's, and would stop nothing. */
function checkAgent(value: string, beneath: boolean): void {
  if (isWorkloadId(value)) return
  if (beneath && isSpiffeWorkload(`${value}/any`)) return
  throw new Error(
    'an agent is named by its workload id, as in spiffe://corp.example/agents/bot; a whole trust domain is stopped as an issuer',
  )
}

/** Each of them once, in the order they came in. */
export function distinct(targets: readonly Target[]): Target[] {
  return [...new Map(targets.map((target) => [JSON.stringify(target), target])).values()]
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
