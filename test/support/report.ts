// A node:test reporter: a line for each file as it ends, then every failure and every skip in a line,
// then the counts, alone on the last line.
import { relative } from 'node:path'
import type { TestEvent } from 'node:test/reporters'

type Source = AsyncIterable<TestEvent>

export default async function* report(source: Source): AsyncGenerator<string> {
  const failed: string[] = []
  const skipped: string[] = []
  let passed = 0
  for await (const event of source) {
    if (event.type === 'test:stderr' || event.type === 'test:stdout') continue
    if (event.type === 'test:summary' && event.data.file !== undefined) {
      const { counts, duration_ms } = event.data
      const state = event.data.success ? 'ok' : 'FAILED'
      const seconds = (duration_ms / 1000).toFixed(1)
      yield `${state} ${relative('', event.data.file)} (${counts.tests} tests, ${seconds} s)\n`
    }
    if (event.type === 'test:fail' && event.data.details.type !== 'suite') {
      failed.push(
        `${fileOf(event.data.file)}: ${event.data.name}: ${causeOf(event.data.details.error)}`,
      )
    }
    if (event.type === 'test:pass' && event.data.details.type !== 'suite') {
      if (event.data.skip === undefined) passed += 1
      else skipped.push(`${event.data.name}: ${event.data.skip}`)
    }
  }
  for (const line of failed) yield `writ: failed: ${line}\n`
  for (const line of skipped) yield `writ: skipped: ${line}\n`
  yield `${passed} passed, ${failed.length} failed, ${skipped.length} skipped\n`
}

function fileOf(file: string | undefined): string {
  return file === undefined ? '' : relative('', file)
}

/** Why a test failed, as its own error says it; the runner's is around that. */
export function causeOf(error: Error): string {
  const cause =
    error.cause instanceof Error
      ? (error.cause.stack ?? error.cause.message)
      : String(error.cause ?? error)
  return cause.split('\n').slice(0, 12).join('\n    ')
}
