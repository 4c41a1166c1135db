/**
 * Tells the broker how tokens fared at this verifier, and how far it has heard the revocations.
 *
 * Off every request's way: `note` adds to what is gathered, and a loop sends it. A batch has a number,
 * and stays what it is until the broker has acknowledged it, so nothing counts twice and nothing is
 * forgotten because an answer was lost. While the broker is away the rest goes on being gathered.
 */
import { randomBytes } from 'node:crypto'
import type { AuditRecord } from '../audit/record.ts'
import {
  Gathering,
  HOLDER_KINDS,
  MAX_SESSIONS_BYTES,
  reportedOf,
  signReport,
} from '../sessions/report.ts'
import type { TokenClaims } from '../token/claims.ts'
import { at, parseUrl, type ReportsOption } from './options.ts'
import { algorithmOf, type ReporterKey, readReporterKey } from './reporter-key.ts'
import { type Posted, postReport } from './reporter-post.ts'
import { type Batch, readSpools, removeSpool, writeSpool } from './reporter-spool.ts'

export interface Reporter {
  /**
   * Reads key and spool, and begins to send.
   *
   * @throws {Error} (as a rejection) when one of them is not usable
   */
  start(): Promise<void>
  /** Counts an outcome; never throws. What went before `start` is counted too. */
  note(record: AuditRecord, claims: TokenClaims, now: number): void
  /** Sends what is left, or keeps it in the spool. */
  close(): Promise<void>
}

export interface ReporterParts {
  readonly issuer: string
  readonly resource: string
  readonly revocations: {
    readonly heard: Readonly<Record<string, number>>
    readonly fresh: boolean
  }
  readonly clock: () => number
}

const MOST_EVERY_MS = 3_600_000
const HOLDER = /^[A-Za-z0-9_.-]{1,40}$/
/** The broker is away: it will be back, and is asked soon enough that nobody looks silent for long. */
const MAX_PAUSE_MS = 5000
/** The broker says no, and will until somebody mends something. */
const MAX_REFUSED_PAUSE_MS = 60_000
/** How long `close` tries. */
const CLOSE_MS = 3000

/** What an earlier process left, as far as it is not acknowledged. */
interface Left {
  readonly file: string
  readonly lost: number
  waiting: number
}

/** Numbered, and not acknowledged yet. */
interface Pending {
  readonly batch: Batch
  /** Undefined for what this process counted. */
  readonly left: Left | undefined
}

/** @throws {TypeError} on options that cannot be right */
export function createReporter(option: ReportsOption, parts: ReporterParts): Reporter {
  const { clientId, spoolFile, kind = 'verifier' } = option
  const { issuer, resource, revocations, clock } = parts
  if (typeof clientId !== 'string' || clientId === '')
    throw new TypeError('reports.clientId: required')
  if (typeof option.key !== 'string') algorithmOf(option.key)
  if (!HOLDER_KINDS.includes(kind))
    throw new TypeError('reports.kind: expected verifier or gateway')
  if (option.holder !== undefined && !HOLDER.test(option.holder)) {
    throw new TypeError('reports.holder: expected 1 to 40 letters, digits, dots, _ and -')
  }
  const url = parseUrl('reports.url', option.url ?? at(issuer, 'reports'))
  const everyMs = option.everyMs ?? 1000
  // A timer that is given more than it can count goes off at once.
  if (!(everyMs >= 10 && everyMs <= MOST_EVERY_MS)) {
    throw new TypeError(`reports.everyMs: expected a number from 10 to ${MOST_EVERY_MS}`)
  }
  const onProblem = (problem: string): void => {
    try {
      if (option.onProblem !== undefined) option.onProblem(problem)
      else process.emitWarning(problem, { code: 'WRIT_REPORTS' })
    } catch {
      // Neither a request nor the loop may end of what somebody else's function does.
    }
  }
  // Another one after each start, because the sequence begins again.
  const holder = [option.holder ?? [], randomBytes(12).toString('base64url')].flat().join('.')

  const gathering = new Gathering(holder)
  /** The first is the next to be sent. */
  const pending: Pending[] = []
  let key: ReporterKey | undefined
  let sequence = 0
  /** What earlier processes could not count: they are gone, so this one says it. */
  let lostBefore = 0
  /** Of that, what is in no file any more. */
  let lostKept = 0
  /** Whether the last batch left something for another one. */
  let more = false
  let failures = 0
  let told = false
  let running: Promise<void> | undefined
  let stopping: Promise<void> | undefined
  const closing = new AbortController()
  const late = new AbortController()

  async function start(): Promise<void> {
    if (running !== undefined) return
    const read = await readReporterKey(option.key)
    if (spoolFile !== undefined) {
      const found = await readSpools(spoolFile, { clientId, resource }, onProblem)
      // A second call of `start` may have come this far as well.
      if (running !== undefined) return
      for (const { file, lost, batches } of found) {
        lostBefore += lost
        const left = { file, lost, waiting: batches.length }
        pending.push(...batches.map((batch) => ({ batch, left })))
      }
    }
    key = read
    running ??= run()
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      const sent = await sendAll()
      await pause(sent.ok ? everyMs : pauseAfter(sent.refused), closing.signal)
    }
  }

  /** Everything that is there; when there is nothing, that this process is. */
  async function sendAll(): Promise<Posted> {
    let sent: Posted
    do {
      seal()
      sent = await send(pending[0])
      if (sent.ok) {
        failures = 0
        told = false
        await acknowledged()
      } else {
        failures++
        tell(sent.why)
      }
    } while (sent.ok && (pending.length > 0 || more))
    return sent
  }

  /** Numbers what is gathered: from then on it stays as it is. One batch at a time: it takes a while. */
  function seal(): void {
    if (pending.length > 0) return
    const batch = nextBatch()
    more = gathering.size > 0
    if (batch !== undefined) pending.push({ batch, left: undefined })
  }

  function nextBatch(): Batch | undefined {
    if (gathering.size === 0) return undefined
    const taken = gathering.take({ now: clock(), maxBytes: MAX_SESSIONS_BYTES })
    return { holder, kind, sequence: ++sequence, sessions: taken.map(reportedOf) }
  }

  async function acknowledged(): Promise<void> {
    const left = pending.shift()?.left
    if (left === undefined || --left.waiting > 0) return
    lostKept += left.lost
    await removeSpool(left.file).catch((error: Error) => tell(error.message))
  }

  async function send(next: Pending | undefined): Promise<Posted> {
    try {
      return await postReport(url, signedReport(next), {
        sequence: next?.batch.sequence ?? sequence,
        signal: late.signal,
      })
    } catch (error) {
      // The loop goes on whatever happens.
      return { ok: false, refused: false, why: `no report could be made: ${error}` }
    }
  }

  function signedReport({ batch, left }: Partial<Pending> = {}): string {
    if (key === undefined) throw new Error('the key has not been read')
    const { heard, fresh } = revocations
    const report = {
      resource,
      lost: left?.lost ?? gathering.lost + lostBefore,
      // A process that has ended hears no more.
      hearing: left === undefined ? { heard, fresh } : undefined,
      ...(batch ?? { holder, kind, sequence, sessions: [] }),
    }
    return signReport(report, { clientId, key, issuer, now: clock() })
  }

  /** Once, until it has worked again. */
  function tell(why: string): void {
    if (told) return
    told = true
    onProblem(`${why}; outcomes are kept, and it is tried again`)
  }

  function pauseAfter(refused: boolean): number {
    const most = refused ? MAX_REFUSED_PAUSE_MS : MAX_PAUSE_MS
    const ms = Math.min(everyMs * 2 ** Math.min(failures - 1, 20), Math.max(most, everyMs))
    return ms * (0.5 + Math.random() / 2)
  }

  async function stop(): Promise<void> {
    closing.abort()
    const timer = setTimeout(() => late.abort(new Error('the verifier stops')), CLOSE_MS)
    await running
    // What was gathered while a batch waited is another batch.
    while (running !== undefined && pending.length + gathering.size > 0) {
      if (!(await sendAll()).ok) break
    }
    clearTimeout(timer)
    // What earlier processes left is where it was.
    const own = pending.filter(({ left }) => left === undefined).map(({ batch }) => batch)
    for (let batch = nextBatch(); batch; batch = nextBatch()) own.push(batch)
    pending.length = 0
    if (own.length === 0) return
    try {
      if (spoolFile === undefined) throw new Error('there is no spoolFile')
      // It may have another's spool, or no right to its own, which would keep the right one from starting.
      if (running === undefined) throw new Error('reporting had not begun')
      const lost = gathering.lost + lostKept
      await writeSpool(spoolFile, { clientId, resource }, { batches: own, lost })
    } catch (error) {
      onProblem(`${outcomesIn(own)} outcomes were never reported: ${(error as Error).message}`)
    }
  }

  return {
    start,
    note(record, claims, now) {
      try {
        const { sid, cnf } = claims
        const name = 'jkt' in cnf ? cnf.jkt : `x5t#S256:${cnf['x5t#S256']}`
        gathering.note(record, { session: sid, key: name, at: now })
      } catch (error) {
        // The answer to the request is another matter.
        tell(`an outcome could not be counted: ${error}`)
      }
    },
    close: () => (stopping ??= stop()),
  }
}

function outcomesIn(batches: readonly Batch[]): number {
  let count = 0
  for (const { sessions } of batches) {
    for (const { spent, refused } of sessions) count += spent + refused
  }
  return count
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      resolve()
    }
    const timer = setTimeout(stop, ms).unref()
    if (signal.aborted) return stop()
    signal.addEventListener('abort', stop)
  })
}
