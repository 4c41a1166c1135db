/**
 * Runs test files side by side. It says how far it is as each file ends, then which took the longest,
 * every failure and every skip, and last the counts, alone on their line.
 */
import { mkdirSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Outcome, runFile } from './run-file.ts'

const QUIET_MS = 30_000
const SLOWEST = 10

export interface RunOptions {
  /** How many files run at once. */
  readonly atOnce: number
  /** Whether a file that failed beside others may be tried once more with the machine to itself. */
  readonly mayTryAlone?: (file: string) => boolean
  /** For a file, and for each of its tests. */
  readonly timeoutMs?: number
}

/**
 * @param files their paths, in the order in which they are started
 * @returns the exit code. A skip is a failure under CI: a suite that did not run has proved nothing.
 */
export async function runFiles(files: readonly string[], options: RunOptions): Promise<0 | 1> {
  const { atOnce, timeoutMs = 1_800_000 } = options
  keepCompiled()
  const started = performance.now()
  const waiting = [...files]
  const running = new Set<string>()
  const outcomes: Outcome[] = []
  const stopping = new AbortController()
  let heard = started

  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      running.add(relative('', file))
      const outcome = await runFile(file, { timeoutMs, signal: stopping.signal })
      running.delete(relative('', file))
      outcomes.push(outcome)
      heard = performance.now()
      const place = String(outcomes.length).padStart(String(files.length).length)
      console.log(`${place}/${files.length} ${outcome.ok ? 'ok' : 'FAILED'} ${lineOf(outcome)}`)
      for (const said of outcome.said) console.log(`    ${said}`)
      // Whole at the end, which a run that is ended does not reach.
      for (const why of outcome.failed) console.log(`    failed: ${why.split('\n', 1)}`)
    }
  }
  const giveUp = (why: string): never => {
    console.error(`writ: error: ${why}; still running: ${[...running].join(', ')}`)
    stopping.abort()
    process.exit(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => giveUp(`ended by ${signal}`))
  }
  const watch = setInterval(() => {
    const quietMs = performance.now() - heard
    if (quietMs > QUIET_MS) console.log(`still running: ${[...running].join(', ')}`)
  }, QUIET_MS)
  await Promise.all(Array.from({ length: atOnce }, worker))
  for (const [index, { ok, file, failed }] of outcomes.entries()) {
    if (ok || options.mayTryAlone?.(file) !== true) continue
    const alone = await runFile(file, { timeoutMs, signal: stopping.signal })
    if (alone.ok) outcomes[index] = alone
    console.log(`writ: ${alone.ok ? 'passed' : 'failed'} alone, after it failed beside others:`)
    console.log(`    ${lineOf(alone)}: ${failed.join('\n    ')}`)
  }
  clearInterval(watch)
  return summary(outcomes, (performance.now() - started) / 1000)
}

/**
 * Every process that a test starts finds what an earlier one has compiled, which is half of its start.
 * What is kept is named by its file, and used only for the same text and the same Node.
 */
function keepCompiled(): void {
  const folder = fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url))
  mkdirSync(folder, { recursive: true })
  process.env.NODE_COMPILE_CACHE ??= folder
}

function summary(outcomes: readonly Outcome[], seconds: number): 0 | 1 {
  if (outcomes.length > SLOWEST) {
    console.log(`\n${outcomes.length} files in ${Math.round(seconds)} s; the slowest:`)
    const slowest = outcomes.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST)
    for (const outcome of slowest) console.log(`    ${lineOf(outcome)}`)
  }
  for (const { ok, file, failed, printed } of outcomes) {
    for (const why of failed) console.log(`writ: failed: ${relative('', file)}: ${why}`)
    if (!ok && printed !== '') console.log(`writ: ${relative('', file)} printed:\n${printed}`)
  }
  for (const { skipped } of outcomes) {
    for (const why of skipped) console.log(`writ: skipped: ${why}`)
  }
  const count = (of: (outcome: Outcome) => number) =>
    outcomes.reduce((sum, outcome) => sum + of(outcome), 0)
  const skipped = count((outcome) => outcome.skipped.length)
  const failed = count((outcome) => outcome.failed.length)
  const passed = count((outcome) => outcome.passed)
  if (process.env.CI && skipped > 0) {
    console.error(`writ: error: under CI a skip is a failure, and ${skipped} were skipped`)
  }
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
  const ok = outcomes.every((outcome) => outcome.ok) && !(process.env.CI && skipped > 0)
  return ok ? 0 : 1
}

function lineOf({ file, passed, failed, skipped, seconds }: Outcome): string {
  const tests = passed + failed.length + skipped.length
  return `${relative('', file)} (${tests} tests, ${seconds.toFixed(1)} s)`
}
