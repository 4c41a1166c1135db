import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventStreamParser, type StreamedEvent } from '../../src/lib/event-stream.ts'

function eventsIn(text: string, cutAt: readonly number[] = [], max = 1000): StreamedEvent[] {
  const ends = [...cutAt.map((at) => at % text.length), text.length].sort((a, b) => a - b)
  const parser = new EventStreamParser(max)
  return ends.flatMap((end, n) => parser.push(text.slice(ends[n - 1] ?? 0, end)))
}

test('events are read whole, however the text is cut and lines end', () => {
  const text =
    ': hello\n\nevent: session\nid: a.1\ndata: {"é":"💶"}\n\nid\ndata: x\ndata:y\ndata\n\nevent: gone\n\nid: a\0\ndata:  z\n\ndata: cut'
  const expected = [
    { event: 'session', data: '{"é":"💶"}', id: 'a.1' },
    { event: 'message', data: 'x\ny\n', id: '' },
    { event: 'message', data: ' z' },
  ]
  for (const end of ['\n', '\r\n', '\r']) {
    const spelled = text.replaceAll('\n', end)
    for (let at = 1; at < spelled.length; at += 1) {
      assert.deepEqual(eventsIn(spelled, [at, at * 7]), expected, `${JSON.stringify(end)} ${at}`)
    }
  }
})

const TOO_LONG: readonly (readonly [string, string])[] = [
  ['one line', `data: ${'x'.repeat(100)}\n\n`],
  ['one line without an end', 'x'.repeat(101)],
  ['many lines', 'data: x\n'.repeat(13)],
  ['many empty lines of data', 'data\n'.repeat(21)],
  ['a comment', `:${'x'.repeat(100)}\n`],
]
for (const [what, text] of TOO_LONG) {
  test(`an event that is too long ends the reading: ${what}`, () => {
    for (const cutAt of [[], [50], [1, 99]]) {
      assert.throws(() => eventsIn(text, cutAt, 100), /too long/)
    }
  })
}

test('the bound is of each event, and not of the stream', () => {
  assert.equal(eventsIn(`data: ${'x'.repeat(90)}\n\n`.repeat(50), [], 100).length, 50)
})
