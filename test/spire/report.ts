// The reporter of all tests, which also lets through what a test says to stderr: why something failed.
import type { TestEvent } from 'node:test/reporters'
import report from '../support/report.ts'

export default async function* explained(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  yield* report(lettingThrough(source))
}

async function* lettingThrough(source: AsyncIterable<TestEvent>): AsyncGenerator<TestEvent> {
  for await (const event of source) {
    if (event.type === 'test:stderr') process.stderr.write(event.data.message)
    yield event
  }
}
