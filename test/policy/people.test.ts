// What policies see of those who act, and of those they act for.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CeilingElement } from '../../src/action/ceiling.ts'
import { proven } from '../../src/identity/workload.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { DecisionInput } from '../../src/policy/engine.ts'
import { call, catalogueWith, RESOURCE } from '../catalogue/pins.ts'
import { decideBy, NOW, question, workload } from './open.ts'

const catalogue = catalogueWith({ tool: [{ name: 'pay', inputSchema: { type: 'object' } }] })
const PAY = call('pay')
const ALICE = 'user:corp:alice'

function runner(attributes: JsonObject) {
  const id = 'oidc:ci:repo:acme/app:ref:refs/heads/main'
  return proven({
    id,
    kind: 'oidc',
    issuer: 'ci',
    expiresAt: NOW + 60,
    credential: 'c',
    attributes,
  })
}
const alice = (attributes: JsonObject): Partial<DecisionInput> => ({
  principal: ALICE,
  user: { id: ALICE, issuer: 'corp', attributes },
  actors: [workload().id],
})

type Case = readonly [string, string, Partial<DecisionInput>, 'permit' | 'deny']
const REPOSITORY = `permit (principal in Issuer::"ci", action, resource)
  when { principal.hasTag("repository") && principal.getTag("repository").contains("acme/app") };`
const FINANCE = `permit (principal, action, resource) when { context has user &&
  context.user.hasTag("groups") && context.user.getTag("groups").contains("finance") };`
const NOT_CONTRACTORS = `permit (principal, action, resource);
  forbid (principal, action, resource) when { context has user &&
    context.user.hasTag("groups") && context.user.getTag("groups").contains("contractors") };`
const DIRECTLY = 'permit (principal, action, resource) unless { context.delegated };'

const CASES: readonly Case[] = [
  [
    'a workload with the attribute',
    REPOSITORY,
    { workload: runner({ repository: 'acme/app' }) },
    'permit',
  ],
  [
    'one of several values',
    REPOSITORY,
    { workload: runner({ repository: ['x', 'acme/app'] }) },
    'permit',
  ],
  ['another value', REPOSITORY, { workload: runner({ repository: 'acme/app2' }) }, 'deny'],
  ['no such attribute', REPOSITORY, { workload: runner({ sub: 'acme/app' }) }, 'deny'],
  ['a SPIFFE workload with the attribute', REPOSITORY, { workload: workload() }, 'deny'],
  ['a user in the group', FINANCE, alice({ groups: ['staff', 'finance'] }), 'permit'],
  ['a user in another group', FINANCE, alice({ groups: ['staff'] }), 'deny'],
  ['a user without groups', FINANCE, alice({}), 'deny'],
  ['no user at all', FINANCE, {}, 'deny'],
  [
    'a user whose attributes are not known any more',
    FINANCE,
    { principal: ALICE, actors: ['x'] },
    'deny',
  ],
  ['a user whom a forbid means', NOT_CONTRACTORS, alice({ groups: 'contractors' }), 'deny'],
  ['a user whom it does not mean', NOT_CONTRACTORS, alice({ groups: 'staff' }), 'permit'],
  [
    'one user by name',
    `permit (principal, action, resource) when { context has user && context.user == User::"${ALICE}" };`,
    { principal: ALICE, actors: ['x'] },
    'permit',
  ],
  [
    'another user by name',
    'permit (principal, action, resource) when { context has user && context.user == User::"user:corp:bob" };',
    alice({}),
    'deny',
  ],
  [
    'the users of one issuer',
    'permit (principal, action, resource) when { context has user && context.user.issuer == "corp" };',
    alice({}),
    'permit',
  ],
  [
    'a user as text',
    'permit (principal, action, resource) when { context.principal like "user:corp:*" };',
    alice({}),
    'permit',
  ],
  ['a workload for itself, where delegation is not wanted', DIRECTLY, {}, 'permit'],
  ['a workload for a user, there', DIRECTLY, alice({}), 'deny'],
  [
    'a workload that has its own work back, there',
    DIRECTLY,
    { actors: [workload().id, 'spiffe://corp.example/agents/b', workload().id] },
    'deny',
  ],
  [
    'an actor before it',
    'permit (principal, action, resource) when { context.actors.contains("spiffe://corp.example/agents/planner") };',
    { actors: [workload().id, 'spiffe://corp.example/agents/planner'] },
    'permit',
  ],
]

for (const [what, policy, more, expected] of CASES) {
  test(`${what}: ${expected}`, () => {
    const decide = decideBy(catalogue, policy)
    assert.equal(decide(question(catalogue, PAY, more)).effect, expected)
  })
}

test('an answer for one id is not given again when its attributes have changed', () => {
  const decide = decideBy(catalogue, `${REPOSITORY}\n${FINANCE}`)
  const ask = (more: Partial<DecisionInput>) => decide(question(catalogue, PAY, more)).effect
  for (let round = 0; round < 2; round++) {
    assert.equal(ask({ workload: runner({ repository: 'acme/app' }) }), 'permit')
    assert.equal(ask({ workload: runner({ repository: 'acme/other' }) }), 'deny')
    assert.equal(ask(alice({ groups: 'finance' })), 'permit')
    assert.equal(ask(alice({ groups: 'staff' })), 'deny')
  }
})

const ELEMENT: CeilingElement = {
  type: 'mcp_ceiling',
  locations: [RESOURCE],
  actions: ['tools/call'],
  identifiers: ['pay', 'close'],
}
const handOn = (element: Partial<CeilingElement> = {}): Partial<DecisionInput> => ({
  delegation: {
    delegate: 'spiffe://corp.example/agents/b',
    element: { ...ELEMENT, ...element },
    task: 'invoice-1',
  },
})
const DELEGATION = 'action == desk::Action::"mcp:delegation"'
const HANDED: readonly Case[] = [
  [
    'no policy about delegation',
    'permit (principal, action == desk::Action::"mcp:session", resource);',
    handOn(),
    'deny',
  ],
  [
    'a policy about tools only',
    'permit (principal, action in Action::"mcp:tools", resource);',
    handOn(),
    'deny',
  ],
  [
    'a policy about this server',
    `permit (principal, ${DELEGATION}, resource);`,
    handOn(),
    'permit',
  ],
  [
    'a policy about all delegations',
    'permit (principal, action in Action::"mcp:delegations", resource);',
    handOn(),
    'permit',
  ],
  [
    'the next agent that is meant',
    `permit (principal, ${DELEGATION}, resource) when { context.delegate == "spiffe://corp.example/agents/b" };`,
    handOn(),
    'permit',
  ],
  [
    'another next agent',
    `permit (principal, ${DELEGATION}, resource) when { context.delegate == "spiffe://corp.example/agents/c" };`,
    handOn(),
    'deny',
  ],
  [
    'no more names than those',
    `permit (principal, ${DELEGATION}, resource) when { ["pay", "close", "list"].containsAll(context.names) };`,
    handOn(),
    'permit',
  ],
  [
    'one name more',
    `permit (principal, ${DELEGATION}, resource) when { ["pay"].containsAll(context.names) };`,
    handOn(),
    'deny',
  ],
  [
    'another method',
    `permit (principal, ${DELEGATION}, resource) when { context.methods == ["tools/call"] };`,
    handOn({ actions: ['prompts/get'] }),
    'deny',
  ],
  [
    'arguments that are not fixed',
    `permit (principal, ${DELEGATION}, resource) when { context.argumentsFixed };`,
    handOn(),
    'deny',
  ],
  [
    'arguments that are fixed',
    `permit (principal, ${DELEGATION}, resource) when { context.argumentsFixed };`,
    handOn({ arguments_hash: 'RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o' }),
    'permit',
  ],
  [
    'its task',
    `permit (principal, ${DELEGATION}, resource) when { context has task && context.task == "invoice-1" };`,
    handOn(),
    'permit',
  ],
]

for (const [what, policy, more, expected] of HANDED) {
  test(`handing on, ${what}: ${expected}`, () => {
    const decide = decideBy(catalogue, policy)
    assert.equal(decide(question(catalogue, undefined, more)).effect, expected)
  })
}

test('a policy that reads an attribute without asking whether it is there does not load', () => {
  const text =
    'permit (principal, action, resource) when { principal.getTag("team").contains("red") };'
  assert.throws(() => decideBy(catalogue, text), /tag/)
})
