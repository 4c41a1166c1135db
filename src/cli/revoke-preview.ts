/** What a stop would hit: for who only asks, and for who stops and wants to know that it hit somebody. */
import type { Preview } from '../admin/schemas.ts'
import type { Target } from '../revocation/target.ts'
import { targetText } from '../revocation/target-text.ts'
import type { AdminClient } from './admin-client.ts'
import type { Answer } from './answer.ts'
import { commandToDo, type RevokeOptions, type Wish } from './revoke-wish.ts'
import { printable, table } from './text.ts'

/** Live sessions. Counted before the stop: afterwards they live no more. */
export interface Hits {
  readonly sessions: number
  /** Of each target, in their order. */
  readonly each: readonly number[]
  /** There are more sessions than the broker looked at. */
  readonly bounded: boolean
}

/** A stop does not wait longer for being counted. */
const COUNTED_WITHIN_MS = 2000
const NAMED = 10

/**
 * The reason and the end are said as well: what the stop would be refused for, its preview is.
 *
 * @throws {CliError}
 */
export async function preview(
  admin: AdminClient,
  options: RevokeOptions,
  wish: Wish,
): Promise<Answer> {
  const told = await ask(admin, wish)
  const found = { ...told, command: commandToDo(options, wish.targets, admin) }
  const { sessions, workloads, servers, wide, command, bounded } = found
  return {
    json: { preview: found },
    text: [
      `this would stop ${countOf(sessions, bounded)}`,
      table([
        ['agents', few(workloads)],
        ['at', few(servers)],
        ['needs', wide ? 'a touch of a passkey, from people' : undefined],
        ['to do it', command],
      ]),
    ].join('\n'),
  }
}

async function ask(
  admin: AdminClient,
  wish: Pick<Wish, 'targets'> & Partial<Wish>,
  signal?: AbortSignal,
): Promise<Preview> {
  const { preview: schema } = await import('../admin/schemas.ts')
  const options = signal === undefined ? {} : { signal }
  return await admin.post('/v1/revocations/preview', schema, wish, options)
}

/**
 * Never rejects, and never takes long: that it cannot be said what a stop hits must not keep it from
 * being made. Undefined then.
 */
export async function countHits(
  admin: AdminClient,
  targets: readonly Target[],
): Promise<Hits | undefined> {
  const late = new AbortController()
  const { promise: over, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => {
    late.abort()
    resolve(undefined)
  }, COUNTED_WITHIN_MS)
  try {
    const asked = ask(admin, { targets }, late.signal).catch(() => undefined)
    const found = await Promise.race([asked, over])
    if (found === undefined) return undefined
    const { sessions, each, bounded } = found
    return { sessions, each, bounded }
  } finally {
    clearTimeout(timer)
  }
}

/** What is said of the target at this place; undefined where it is not known. */
export function hitsOf(hits: Hits | undefined, at: number, target: Target): string | undefined {
  const count = hits?.each[at]
  if (hits === undefined || count === undefined || !isCounted(target)) return undefined
  return `${countOf(count, hits.bounded)} now`
}

/** The same for programs: null where it is not known. */
export function hitsJson(hits: Hits | undefined, targets: readonly Target[]) {
  if (hits === undefined) return { hits: null }
  const { sessions, each, bounded } = hits
  return {
    hits: targets.some(isCounted) ? sessions : null,
    each: targets.map((target, at) => (isCounted(target) ? (each[at] ?? null) : null)),
    bounded,
  }
}

/** The targets that hit nobody who is there now, as far as that is known. */
export function idle(hits: Hits | undefined, targets: readonly Target[]): Target[] {
  if (hits === undefined || hits.bounded) return []
  return targets.filter((one, at) => isCounted(one) && hits.each[at] === 0)
}

export function warnOfIdle(targets: readonly Target[]): void {
  for (const target of targets.slice(0, NAMED)) {
    process.stderr.write(
      `writ: warning: ${printable(targetText(target))} hits no live session now; it stops what is to come only\n`,
    )
  }
}

/** One token is no session: who holds it goes on with the next. */
export function isCounted({ kind }: Target): boolean {
  return kind !== 'jti'
}

function countOf(sessions: number, bounded: boolean): string {
  return `${bounded ? 'at least ' : ''}${sessions} live ${sessions === 1 ? 'session' : 'sessions'}`
}

function few(texts: readonly string[]): string | undefined {
  if (texts.length === 0) return undefined
  return [...texts.slice(0, NAMED), ...(texts.length > NAMED ? ['…'] : [])].join(', ')
}
