import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  demandOf,
  demandOfHttp,
  isTaskMethod,
  METHODS,
  TASK_METHODS,
} from '../../src/action/demand.ts'
import { checkHeaders } from '../../src/action/headers.ts'
import { parseMessage } from '../../src/action/message.ts'
import { type JsonObject, parseJson } from '../../src/lib/json.ts'
import { type ReasonCode, Refusal } from '../../src/refusal.ts'
import { type MessageVector, messageVectors, received } from './vectors.ts'

function refusedWith(code: string, work: () => unknown): void {
  assert.throws(work, (error) => error instanceof Refusal && error.reason.code === code)
}

function read(vector: MessageVector) {
  const message = parseMessage(received(vector))
  const demand = demandOf(message)
  const { headers } = vector
  if (headers !== undefined) checkHeaders(message, (name) => headers[name])
  return { message, demand }
}

for (const vector of messageVectors) {
  if (vector.refuse !== undefined) {
    test(`refused as ${vector.refuse}: ${vector.name}`, () => {
      refusedWith(vector.refuse as ReasonCode, () => read(vector))
    })
    continue
  }
  test(`understood: ${vector.name}`, () => {
    const { message, demand } = read(vector)
    assert.equal(message.kind, vector.kind)
    assert.equal(message.era, vector.era)
    const { arguments_json, ...rest } = vector.demand as JsonObject
    const expected: JsonObject =
      arguments_json === undefined
        ? rest
        : { ...rest, arguments: parseJson(arguments_json as string) }
    // Members that are undefined are the same as absent ones here.
    assert.deepEqual(JSON.parse(JSON.stringify(demand)), JSON.parse(JSON.stringify(expected)))
  })
}

test('the message that was checked is the message that runs', () => {
  const message = parseMessage(
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1}}}',
  )
  const demand = demandOf(message)
  assert.ok(demand.token === 'action')
  assert.equal(demand.arguments, message.params?.arguments)
  assert.equal(message.params, message.raw.params)
})

test('a message that is too large is refused as such, with the limit', () => {
  const body = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'ping',
    params: { x: 'x'.repeat(100) },
  })
  assert.throws(
    () => parseMessage(body, { maxBytes: 50 }),
    (error) =>
      error instanceof Refusal &&
      error.reason.code === 'request_too_large' &&
      error.reason.limitBytes === 50,
  )
  refusedWith('message_malformed', () => parseMessage(body, { maxDepth: 1 }))
  refusedWith('request_too_large', () => parseMessage(`"${'x'.repeat(1024 * 1024)}"`))
})

test('a refusal repeats nothing of the message', () => {
  const secret = 'hunter2'
  const bodies = [
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","${secret}":1}}`,
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":"${secret}"}}`,
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","a":${secret}}}`,
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","${secret}":1}`,
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"${secret}":1,"${secret}":2}}`,
  ]
  for (const body of bodies) {
    assert.throws(
      () => demandOf(parseMessage(body)),
      (error) => error instanceof Refusal && !JSON.stringify(error.reason).includes(secret),
    )
  }
})

test('requests without a message demand a session, and GET stays open', () => {
  assert.deepEqual(demandOfHttp('GET'), { token: 'session', method: 'GET', stream: true })
  assert.deepEqual(demandOfHttp('DELETE'), { token: 'session', method: 'DELETE', stream: false })
})

test('the methods that do something are these, and no others', () => {
  const acting = Object.keys(METHODS).filter((method) => METHODS[method]?.token === 'action')
  assert.deepEqual(acting, ['tools/call', 'prompts/get', 'resources/read', ...TASK_METHODS])
  assert.deepEqual(Object.keys(METHODS).filter(isTaskMethod), [...TASK_METHODS])
})
