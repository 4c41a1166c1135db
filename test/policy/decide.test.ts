import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Action } from '../../src/action/action.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { DecisionInput } from '../../src/policy/engine.ts'
import { Refusal } from '../../src/refusal.ts'
import { call, catalogueWith, RESOURCE } from '../catalogue/pins.ts'
import { decideBy, open, question, workload } from './open.ts'

const object = (properties: object, required: string[] = []) => ({
  type: 'object',
  properties,
  required,
})
const catalogue = catalogueWith({
  tool: [
    {
      name: 'pay',
      inputSchema: object({ to: { type: 'string' }, amount: { type: 'number' } }, ['to', 'amount']),
    },
    {
      name: 'list-all',
      inputSchema: object({ max: { type: 'integer' } }),
      annotations: { readOnlyHint: true },
    },
  ],
  prompt: [{ name: 'greet', arguments: [{ name: 'who', required: true }] }],
  resource: [{ uri: 'note://all', name: 'all' }],
  resource_template: [{ uriTemplate: 'note://{id}', name: 'one' }],
})
const PAY = call('pay', { to: 'x', amount: 1 })
const ANY = 'permit (principal, action, resource);'
const prompt = call('greet', { who: 'Ada' }, { method: 'prompts/get' })
const read = (uri: string) => call(uri, {}, { method: 'resources/read', arguments: undefined })
const task = call('t-1', {}, { method: 'tasks/get', arguments: undefined })

type Case = readonly [string, string, Action | undefined, Partial<DecisionInput>, 'permit' | 'deny']
const CASES: readonly Case[] = [
  [
    'no policy about it',
    'permit (principal, action == desk::Action::"list-all", resource);',
    PAY,
    {},
    'deny',
  ],
  ['a permit', ANY, PAY, {}, 'permit'],
  [
    'a forbid beside a permit',
    `${ANY} forbid (principal, action == desk::Action::"pay", resource);`,
    PAY,
    {},
    'deny',
  ],
  [
    'only a forbid about something else',
    `${ANY} forbid (principal, action == desk::Action::"list-all", resource);`,
    PAY,
    {},
    'permit',
  ],
  [
    'the workload named',
    'permit (principal == Workload::"spiffe://corp.example/agents/bot", action, resource);',
    PAY,
    {},
    'permit',
  ],
  [
    'another workload named',
    'permit (principal == Workload::"spiffe://corp.example/agents/bot2", action, resource);',
    PAY,
    {},
    'deny',
  ],
  [
    'its trust domain',
    'permit (principal in TrustDomain::"corp.example", action, resource);',
    PAY,
    {},
    'permit',
  ],
  [
    'another trust domain',
    'permit (principal in TrustDomain::"corp.example.evil", action, resource);',
    PAY,
    {},
    'deny',
  ],
  [
    'a path above it',
    'permit (principal in Path::"spiffe://corp.example/agents", action, resource);',
    PAY,
    {},
    'permit',
  ],
  [
    'a path that only begins alike',
    'permit (principal in Path::"spiffe://corp.example/agent", action, resource);',
    PAY,
    {},
    'deny',
  ],
  [
    'a path that is itself',
    'permit (principal in Path::"spiffe://corp.example/agents/bot", action, resource);',
    PAY,
    {},
    'deny',
  ],
  [
    'its place asked in a condition',
    'permit (principal, action, resource) when { principal in Path::"spiffe://corp.example/agents" };',
    PAY,
    {},
    'permit',
  ],
  [
    'an OIDC workload by issuer',
    'permit (principal in Issuer::"ci", action, resource);',
    PAY,
    { workload: workload('oidc:ci:repo:x') },
    'permit',
  ],
  [
    'an OIDC workload in a trust domain of that name',
    'permit (principal in TrustDomain::"ci", action, resource);',
    PAY,
    { workload: workload('oidc:ci:repo:x') },
    'deny',
  ],
  ['all tools', 'permit (principal, action in Action::"mcp:tools", resource);', PAY, {}, 'permit'],
  [
    'all tools, asked in a condition',
    'permit (principal, action, resource) when { action in Action::"mcp:tools" };',
    PAY,
    {},
    'permit',
  ],
  [
    'all prompts, for a tool',
    'permit (principal, action in Action::"mcp:prompts", resource);',
    PAY,
    {},
    'deny',
  ],
  [
    'this server',
    `permit (principal, action, resource == McpServer::"${RESOURCE}");`,
    PAY,
    {},
    'permit',
  ],
  [
    'a session',
    'permit (principal, action == desk::Action::"mcp:session", resource);',
    undefined,
    {},
    'permit',
  ],
  [
    'a session when only tools are permitted',
    'permit (principal, action in Action::"mcp:tools", resource);',
    undefined,
    {},
    'deny',
  ],
  [
    'a tool when only a session is permitted',
    'permit (principal, action == desk::Action::"mcp:session", resource);',
    PAY,
    {},
    'deny',
  ],
  [
    'a prompt and its argument',
    'permit (principal, action == desk::Action::"mcp:prompt:greet", resource) when { context.input.who == "Ada" };',
    prompt,
    {},
    'permit',
  ],
  [
    'a resource by its URI',
    'permit (principal, action == desk::Action::"mcp:resource:note://all", resource);',
    read('note://all'),
    {},
    'permit',
  ],
  [
    'a resource by its template and URI',
    'permit (principal, action == desk::Action::"mcp:resource:note://{id}", resource) when { context.input.uri like "note://1*" };',
    read('note://17'),
    {},
    'permit',
  ],
  [
    'another one of that template',
    'permit (principal, action == desk::Action::"mcp:resource:note://{id}", resource) when { context.input.uri like "note://1*" };',
    read('note://27'),
    {},
    'deny',
  ],
  [
    'a task by its id',
    'permit (principal, action == desk::Action::"mcp:task", resource) when { context.input.taskId like "t-*" };',
    task,
    {},
    'permit',
  ],
  [
    'an argument',
    'permit (principal, action == desk::Action::"pay", resource) when { context.input.to == "x" };',
    PAY,
    {},
    'permit',
  ],
  [
    'an amount within a limit',
    'permit (principal, action == desk::Action::"pay", resource) when { context.input.amount has decimal && context.input.amount.decimal.lessThan(decimal("1.01")) };',
    PAY,
    {},
    'permit',
  ],
  [
    'an amount over it',
    'permit (principal, action == desk::Action::"pay", resource) when { context.input.amount has decimal && context.input.amount.decimal.lessThan(decimal("1.0")) };',
    PAY,
    {},
    'deny',
  ],
  [
    'the principal',
    'permit (principal, action, resource) when { context.principal == "user:ada" && context.delegated };',
    PAY,
    { principal: 'user:ada' },
    'permit',
  ],
  [
    'acting for itself',
    'permit (principal, action, resource) when { !context.delegated };',
    PAY,
    {},
    'permit',
  ],
  [
    'the actor chain',
    'permit (principal, action, resource) when { context.actors.contains("b") };',
    PAY,
    { actors: ['a', 'b'] },
    'permit',
  ],
  [
    'what is known of the workload',
    'permit (principal, action, resource) when { context.workload.kind == "spiffe" && context.workload.id like "*/bot" && context.workload.attributes like "*\\"red\\"*" };',
    PAY,
    {},
    'permit',
  ],
  [
    'the trust domain',
    'permit (principal, action, resource) when { context has trustDomain && context.trustDomain == "corp.example" };',
    PAY,
    {},
    'permit',
  ],
  [
    'the server',
    `permit (principal, action, resource) when { context.server == "${RESOURCE}" };`,
    PAY,
    {},
    'permit',
  ],
  [
    'a server without a SPIFFE ID',
    'permit (principal, action, resource) when { context has serverSpiffeId };',
    PAY,
    {},
    'deny',
  ],
  [
    'a destructive tool',
    'permit (principal, action in Action::"mcp:tools", resource) when { context.tool.destructive };',
    PAY,
    {},
    'permit',
  ],
  [
    'a tool that is not',
    'permit (principal, action in Action::"mcp:tools", resource) when { context.tool.destructive };',
    call('list-all'),
    {},
    'deny',
  ],
  [
    'the name of the tool',
    'permit (principal, action in Action::"mcp:tools", resource) when { ["pay"].contains(context.tool.name) && context.tool.kind == "tool" };',
    PAY,
    {},
    'permit',
  ],
  [
    'the task',
    'permit (principal, action, resource) when { context has task && context.task == "t" };',
    { ...PAY, task: 't' },
    {},
    'permit',
  ],
  [
    'no task',
    'permit (principal, action, resource) when { context has task && context.task == "t" };',
    PAY,
    {},
    'deny',
  ],
  [
    'the time, before',
    'permit (principal, action, resource) when { context.time < datetime("2027-01-15T08:00:01Z") };',
    PAY,
    {},
    'permit',
  ],
  [
    'the time, after',
    'permit (principal, action, resource) when { context.time < datetime("2027-01-15T08:00:00Z") };',
    PAY,
    {},
    'deny',
  ],
  [
    'the time of day',
    'permit (principal, action, resource) when { context.time.toTime() < duration("9h") };',
    PAY,
    {},
    'permit',
  ],
  [
    'the address',
    'permit (principal, action, resource) when { context has address && context.address.isInRange(ip("10.0.0.0/8")) };',
    PAY,
    { address: '10.1.2.3' },
    'permit',
  ],
  [
    'an IPv4 address from an IPv6 socket',
    'permit (principal, action, resource) when { context has address && context.address.isLoopback() };',
    PAY,
    { address: '::ffff:127.0.0.1' },
    'permit',
  ],
  [
    'an address that is none',
    'permit (principal, action, resource) when { context has address };',
    PAY,
    { address: 'unix:' },
    'deny',
  ],
  [
    'the binding',
    'permit (principal, action, resource) when { context.binding == "mtls" };',
    PAY,
    { binding: 'mtls' },
    'permit',
  ],
  [
    'a continuation and its input',
    'permit (principal, action in Action::"mcp:tools", resource) when { context has continuation && context.continuation.responses like "*\\"sure\\":true*" && context.continuation has state && context.continuation.state == "s" };',
    { ...PAY, input: { inputResponses: { sure: true }, requestState: 's' } },
    {},
    'permit',
  ],
  [
    'a first round',
    'forbid (principal, action in Action::"mcp:tools", resource) when { context has continuation }; permit (principal, action, resource);',
    PAY,
    {},
    'permit',
  ],
  [
    'everything at once',
    'permit (principal, action == desk::Action::"pay", resource) when { context == context };',
    PAY,
    { address: '10.0.0.1' },
    'permit',
  ],
]
for (const [title, text, action, more, effect] of CASES) {
  test(`${title}: ${effect}`, () => {
    const decide = decideBy(catalogue, text)
    for (let round = 0; round < 2; round++) {
      assert.equal(decide(question(catalogue, action, more)).effect, effect)
    }
  })
}

test('a decision names its policies, by @id or by place, and the version', async (t) => {
  const { policies } = await open(
    t,
    catalogue,
    `@id("pays")\n${ANY}\n${ANY}\n@id("no")\nforbid (principal, action in Action::"mcp:prompts", resource);`,
  )
  const permit = policies.decide(question(catalogue, PAY))
  assert.deepEqual(permit.policies, ['pays', 'test.cedar#2'])
  assert.equal(permit.version, policies.version)
  assert.deepEqual(policies.decide(question(catalogue, prompt)).policies, ['no'])
})

const asked = (names: string) => `${names} permit (principal, action, resource);`
test('the strictest of all permits that apply counts', () => {
  const cases: readonly [string, object][] = [
    [asked(''), { effect: 'permit', lifetimeSeconds: undefined, binding: undefined, maxUses: 1 }],
    [
      asked('@lifetime("30") @uses("5") @binding("dpop")'),
      { effect: 'permit', lifetimeSeconds: 30, binding: 'dpop', maxUses: 5 },
    ],
    [
      asked('@lifetime("30") @uses("5")') + asked('@lifetime("20") @uses("9")'),
      { effect: 'permit', lifetimeSeconds: 20, maxUses: 5 },
    ],
    [asked('@uses("5")') + asked(''), { effect: 'permit', maxUses: 1 }],
    [asked('@approval("required")') + asked(''), { effect: 'ask' }],
    [asked('@binding("mtls")') + asked(''), { effect: 'permit', binding: 'mtls' }],
    [asked('@binding("mtls")') + asked('@binding("dpop")'), { effect: 'deny' }],
    [
      `${asked('@approval("required")')} forbid (principal, action, resource);`,
      { effect: 'deny', policies: ['test.cedar#2'] },
    ],
  ]
  for (const [text, expected] of cases) {
    const decision: object = decideBy(catalogue, text)(question(catalogue, PAY))
    assert.deepEqual({ ...decision, ...expected }, decision, text)
  }
})

test('arguments that Cedar would take for entities or functions are refused, wherever they are', async (t) => {
  const { policies } = await open(t, catalogue, ANY)
  const escapes: readonly JsonObject[] = [
    { __entity: { type: 'Workload', id: 'x' } },
    { to: { __extn: { fn: 'ip', arg: 'x' } } },
    { to: [[{ __expr: '1' }]] },
  ]
  for (const args of escapes) {
    assert.throws(
      () => policies.decide(question(catalogue, call('pay', args))),
      (error) => error instanceof Refusal && error.reason.code === 'arguments_invalid',
    )
  }
})

test('an argument that a policy reads and that is not as its schema promised is refused', async (t) => {
  const { policies } = await open(
    t,
    catalogue,
    'permit (principal, action == desk::Action::"pay", resource) when { context.input.to == "x" };',
  )
  const misshapen: readonly JsonObject[] = [
    { amount: 1 },
    { to: 1, amount: 1 },
    { to: null, amount: 1 },
  ]
  for (const args of misshapen) {
    assert.throws(
      () => policies.decide(question(catalogue, call('pay', args))),
      (error) => error instanceof Refusal && error.reason.code === 'arguments_invalid',
    )
  }
})

test('a definition the policies were not checked against is not decided about', async (t) => {
  const { policies } = await open(t, catalogue, ANY)
  const other = catalogueWith({
    tool: [{ name: 'pay', description: 'changed', inputSchema: object({}) }],
  })
  for (const input of [
    question(other, call('pay')),
    question(catalogue, PAY, { server: 'https://other.example/' }),
  ]) {
    assert.throws(
      () => policies.decide(input),
      (error) => error instanceof Refusal && error.reason.code === 'policy_unavailable',
    )
  }
})

test('a forbid that cannot be evaluated is a no, not skipped', async (t) => {
  const overflow =
    'forbid (principal, action == desk::Action::"list-all", resource) when { context.input has max && context.input.max * 9223372036854775807 > 0 };'
  const { policies } = await open(t, catalogue, ANY + overflow)
  assert.equal(policies.decide(question(catalogue, call('list-all'))).effect, 'permit')
  assert.throws(
    () => policies.decide(question(catalogue, call('list-all', { max: 2 }))),
    (error) =>
      error instanceof Refusal &&
      error.reason.code === 'policy_unavailable' &&
      /test\.cedar#2/.test(error.reason.detail),
  )
})

test('what would keep the engine busy for long is refused before it is asked', () => {
  const numbers = { type: 'array', items: { type: 'number' } }
  const many = catalogueWith({
    tool: [{ name: 'sum', inputSchema: object({ numbers, more: numbers }) }],
  })
  const decide = decideBy(
    many,
    `permit (principal, action == desk::Action::"sum", resource)
       when { context.input has numbers && !context.input.numbers.isEmpty() };`,
  )
  const list = (length: number) => Array.from({ length }, (_, i) => i + 0.5)
  const ask = (args: JsonObject) => decide(question(many, call('sum', args))).effect
  assert.equal(ask({ numbers: list(3_000) }), 'permit')
  assert.equal(
    ask({ numbers: list(3), more: list(50_000) }),
    'permit',
    'what no policy reads is free',
  )
  const began = performance.now()
  assert.throws(
    () => ask({ numbers: list(80_000) }),
    (error) => error instanceof Refusal && error.reason.code === 'arguments_too_costly',
  )
  assert.ok(performance.now() - began < 1_000)
})
