import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Validator } from '@cfworker/json-schema'
import type { Action } from '../../src/action/action.ts'
import { demandOf } from '../../src/action/demand.ts'
import { parseGranted } from '../../src/action/granted.ts'
import { hashArguments, hashInput } from '../../src/action/hash.ts'
import {
  approvedHash,
  type GrantedDetail,
  grantDetail,
  matchDetails,
  parseRequestedDetails,
} from '../../src/action/mcp-action.ts'
import { parseMessage } from '../../src/action/message.ts'
import type { Json } from '../../src/lib/json.ts'
import { Refusal } from '../../src/refusal.ts'
import { detailVectors, type MatchVector } from './vectors.ts'

const schema = JSON.parse(
  readFileSync(new URL('../../docs/mcp-action.schema.json', import.meta.url), 'utf8'),
)

/** Whether the published schema accepts a value, under one of its definitions. */
function fits(definition: string, value: Json): boolean {
  const { $ref: _, ...rest } = schema
  return new Validator({ ...rest, $ref: `#/$defs/${definition}` }, '2020-12').validate(value).valid
}

function requestAccepted(details: Json): boolean {
  try {
    parseRequestedDetails(details)
    return true
  } catch (error) {
    assert.ok(error instanceof Refusal && error.reason.code === 'details_invalid')
    return false
  }
}

for (const { name, details, accept } of detailVectors.requests) {
  test(`a request is ${accept ? 'read' : 'refused'}: ${name}`, () => {
    assert.equal(requestAccepted(details), accept)
    const alone = Array.isArray(details) && details.length === 1 ? (details[0] as Json) : undefined
    if (alone !== undefined) assert.equal(fits('requested', alone), accept, 'the schema disagrees')
  })
}

for (const { name, element, accept, reserved } of detailVectors.grants) {
  test(`an element ${accept ? 'grants' : 'grants nothing'}: ${name}`, () => {
    assert.equal(parseGranted(element) !== undefined, accept)
    assert.equal(fits('granted', element), accept, 'the schema disagrees')
    if (!accept) assert.equal(fits('reserved', element), reserved === true)
  })
}

function match(vector: MatchVector): string {
  const demand = demandOf(parseMessage(JSON.stringify(vector.message)))
  assert.ok(demand.token === 'action')
  try {
    matchDetails(vector.details, demand, vector.server, vector.definition_hash ?? undefined)
    return 'match'
  } catch (error) {
    assert.ok(error instanceof Refusal && error.reason.code === 'action_mismatch')
    return error.reason.part
  }
}

for (const vector of detailVectors.matches) {
  test(`a token and a message: ${vector.name}: ${vector.result}`, () => {
    assert.equal(match(vector), vector.result)
  })
}

test('a token without details grants nothing', () => {
  const demand = demandOf(
    parseMessage('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}'),
  )
  assert.ok(demand.token === 'action')
  assert.throws(
    () => matchDetails(undefined, demand, 'https://mcp.example/mcp', undefined),
    Refusal,
  )
})

const server = 'https://mcp.example/mcp'
const call: Action = {
  server,
  method: 'tools/call',
  identifier: 'add',
  arguments: { a: 1 },
  input: undefined,
  task: undefined,
}
const definitionHash = hashArguments({ some: 'definition' })

test('what was asked for is what is granted, and nothing of the arguments is in it', () => {
  const { action, element } = parseRequestedDetails([
    {
      type: 'mcp_action',
      locations: [server],
      actions: ['tools/call'],
      identifier: 'add',
      arguments: { secret: 'hunter2' },
      input: { requestState: 's' },
      task: 't',
    },
  ])
  assert.equal(action.task, 't')
  assert.equal(element.identifier, 'add')
  const granted = grantDetail(action, { definitionHash, maxUses: 1 })
  assert.deepEqual(granted, {
    type: 'mcp_action',
    locations: [server],
    actions: ['tools/call'],
    identifier: 'add',
    arguments_hash: hashArguments({ secret: 'hunter2' }),
    definition_hash: definitionHash,
    input_hash: hashInput({ requestState: 's' }),
    hash_alg: 'sha-256',
    max_uses: 1,
  })
})

test('a task token is good for the four methods of its task', () => {
  const granted = grantDetail(
    { ...call, method: 'tasks/get', identifier: 't1', arguments: undefined },
    { definitionHash: undefined, maxUses: 50 },
  )
  for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel', 'tasks/result'] as const) {
    const demand = {
      token: 'action',
      method,
      identifier: 't1',
      arguments: undefined,
      input: undefined,
    } as const
    assert.equal(
      matchDetails([granted as unknown as Json], demand, server, definitionHash),
      granted,
    )
  }
})

test('an approval is of one element, and covers its later rounds', () => {
  const plain = grantDetail(call, { definitionHash, maxUses: 1 })
  const approval = { id: 'ap-1', hash: approvedHash(plain) }
  const round = { ...call, input: { requestState: 's' } }
  assert.equal(grantDetail(round, { definitionHash, maxUses: 1, approval }).approval, approval)
  const changed: readonly [string, () => GrantedDetail][] = [
    [
      'arguments',
      () => grantDetail({ ...call, arguments: {} }, { definitionHash, maxUses: 1, approval }),
    ],
    ['uses', () => grantDetail(call, { definitionHash, maxUses: 2, approval })],
    ['definition', () => grantDetail(call, { definitionHash: undefined, maxUses: 1, approval })],
    [
      'server',
      () =>
        grantDetail({ ...call, server: `${server}/` }, { definitionHash, maxUses: 1, approval }),
    ],
  ]
  for (const [, grant] of changed) assert.throws(grant, TypeError)
})

test('nothing is granted that no verifier would accept', () => {
  assert.throws(() => grantDetail(call, { definitionHash, maxUses: 0 }), TypeError)
  assert.throws(() => grantDetail(call, { definitionHash, maxUses: 1001 }), TypeError)
  assert.throws(() => grantDetail(call, { definitionHash: 'x', maxUses: 1 }), TypeError)
})
