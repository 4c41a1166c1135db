/** One test file in a process of its own, and what became of its tests. */
import { run } from 'node:test'
import { causeOf } from './report.ts'

/** The end of what a file printed is kept, to be shown when it fails. */
const PRINTED_CHARS = 2000

export interface Outcome {
  readonly file: string
  readonly ok: boolean
  readonly seconds: number
  readonly passed: number
  /** A text for each test that failed: its name and why. */
  readonly failed: readonly string[]
  /** A text for each test that was skipped: its name and why. */
  readonly skipped: readonly string[]
  /** What tests said of themselves with `t.diagnostic`. */
  readonly said: readonly string[]
  readonly printed: string
}

export interface FileOptions {
  /** For each of its tests, and for the file: what it leaves open must not keep it for ever. */
  readonly timeoutMs: number
  /** Ends the file when it aborts. */
  readonly signal: AbortSignal
}

export async function runFile(file: string, options: FileOptions): Promise<Outcome> {
  const started = performance.now()
  const failed: string[] = []
  const skipped: string[] = []
  const said: string[] = []
  let passed = 0
  let hasEnded = false
  let ok = false
  let printed = ''
  const { timeoutMs } = options
  const events = run({
    files: [file],
    signal: AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMs)]),
    execArgv: ['--disable-warning=ExperimentalWarning', `--test-timeout=${timeoutMs}`],
  })
  for await (const { type, data } of events) {
    if (type === 'test:stdout' || type === 'test:stderr') {
      printed = (printed + data.message).slice(-PRINTED_CHARS)
    }
    // The file's own, which is missing when it ended before its time, and the run's.
    if (type === 'test:summary' && data.file !== undefined) hasEnded = true
    if (type === 'test:summary' && data.file === undefined) ok = data.success
    if (type === 'test:diagnostic' && data.file !== undefined) said.push(data.message)
    if (type === 'test:fail' && data.details.type !== 'suite') {
      failed.push(`${data.name}: ${causeOf(data.details.error)}`)
    }
    if (type === 'test:pass' && data.details.type !== 'suite') {
      if (data.skip === undefined) passed += 1
      else skipped.push(`${data.name}: ${data.skip}`)
    }
  }
  if (!hasEnded && failed.length === 0) failed.push('it ended before its tests did')
  const seconds = (performance.now() - started) / 1000
  return { file, ok: ok && failed.length === 0, seconds, passed, failed, skipped, said, printed }
}
