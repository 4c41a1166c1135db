// A node:test reporter that prints, after everything else, each failure and each skip in one line.
import type { TestEvent } from 'node:test/reporters'

export default async function* summary(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const failed: string[] = []
  const skipped: string[] = []
  let passed = 0
  for await (const event of source) {
    if (event.type === 'test:fail' && event.data.details.type !== 'suite') {
      const error = event.data.details.error
      const cause =
        error.cause instanceof Error ? error.cause.message : String(error.cause ?? error)
      failed.push(
        `${event.data.file ?? ''}: ${event.data.name}: ${cause.split('\n').slice(0, 6).join('\n    ')}`,
      )
    }
    if (event.type === 'test:pass' && event.data.details.type !== 'suite') {
      if (event.data.skip) skipped.push(`${event.data.name}: ${String(event.data.skip)}`)
      else passed += 1
    }
  }
  yield '\n'
  for (const line of failed) yield `writ: failed: ${line}\n`
  for (const line of skipped) yield `writ: skipped: ${line}\n`
  yield `writ: ${skipped.length} skipped\n`
  yield `${passed} passed, ${failed.length} failed, ${skipped.length} skipped\n`
}
