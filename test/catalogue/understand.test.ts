import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Action } from '../../src/action/action.ts'
import { hashDefinition } from '../../src/action/hash.ts'
import { understand } from '../../src/catalogue/understand.ts'
import { compileTemplate } from '../../src/catalogue/uri-template.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { Refusal } from '../../src/refusal.ts'
import { call, catalogueWith } from './pins.ts'

const SEARCH: JsonObject = {
  name: 'search',
  title: 'decoration',
  inputSchema: {
    type: 'object',
    properties: { q: { type: 'string', pattern: '^(a+)+$' }, tree: { $ref: '#/$defs/tree' } },
    required: ['q'],
    $defs: {
      tree: {
        type: 'object',
        properties: { l: { $ref: '#/$defs/any' }, r: { $ref: '#/$defs/any' } },
      },
      any: { anyOf: [{ $ref: '#/$defs/tree', required: ['x'] }, { $ref: '#/$defs/tree' }] },
    },
  },
  annotations: { readOnlyHint: true },
}
const catalogue = catalogueWith({
  tool: [SEARCH],
  prompt: [{ name: 'greet', arguments: [{ name: 'who', required: true }, { name: 'how' }] }],
  resource: [{ uri: 'note://all', name: 'all' }],
  resource_template: [
    { uriTemplate: 'note://{id}', name: 'one' },
    { uriTemplate: 'file:///srv/{+path}', name: 'files' },
  ],
})
const prompt = (args: JsonObject) => call('greet', args, { method: 'prompts/get' })
const read = (uri: string) => call(uri, {}, { method: 'resources/read', arguments: undefined })

test('a known tool with good arguments is understood, by the hash that a verifier will make', () => {
  const { definition, definitionHash, server } = understand(catalogue, call('search', { q: 'aaa' }))
  assert.equal(definitionHash, hashDefinition(SEARCH))
  assert.equal(definition?.hash, definitionHash)
  assert.equal(definition?.definition.title, undefined)
  assert.deepEqual(definition?.annotations, {
    readOnly: true,
    destructive: false,
    idempotent: false,
    openWorld: true,
  })
  assert.equal(server.name, 'desk')
})

function bomb(levels: number): JsonObject {
  return levels === 0 ? {} : { l: bomb(levels - 1) }
}

const REFUSED: readonly [string, Action, string][] = [
  [
    'another server',
    call('search', { q: 'a' }, { server: 'https://other.example/mcp' }),
    'server_unknown',
  ],
  ['another tool', call('destroy'), 'action_unknown'],
  ['a tool called like a member of every object', call('constructor'), 'action_unknown'],
  [
    'a prompt under the name of a tool',
    call('search', {}, { method: 'prompts/get' }),
    'action_unknown',
  ],
  ['a resource nobody pinned', read('other://x'), 'action_unknown'],
  [
    'a method that no one has thought about',
    call('search', { q: 'a' }, { method: 'tools/later' as 'tools/call' }),
    'action_unknown',
  ],
  ['a missing argument', call('search'), 'arguments_invalid'],
  ['an argument of another type', call('search', { q: 1 }), 'arguments_invalid'],
  ['an argument nobody declared', call('search', { q: 'a', admin: true }), 'arguments_invalid'],
  ['a pattern bomb', call('search', { q: `${'a'.repeat(40)}!` }), 'arguments_invalid'],
  [
    'a tree that can be read in 2^40 ways',
    call('search', { q: 'a', tree: bomb(40) }),
    'arguments_too_costly',
  ],
  ['a prompt without its argument', prompt({}), 'arguments_invalid'],
  ['a prompt with another argument', prompt({ who: 'x', extra: 'y' }), 'arguments_invalid'],
  ['a prompt with a number', prompt({ who: 1 }), 'arguments_invalid'],
  [
    'arguments for a resource',
    call('note://all', { a: 1 }, { method: 'resources/read' }),
    'arguments_invalid',
  ],
]
for (const [title, action, code] of REFUSED) {
  test(`${title} is refused: ${code}`, () => {
    assert.throws(
      () => understand(catalogue, action),
      (error) => error instanceof Refusal && error.reason.code === code,
    )
  })
}

test('prompts, resources and tasks are understood without a definition hash', () => {
  assert.equal(understand(catalogue, prompt({ who: 'x' })).definition?.kind, 'prompt')
  assert.equal(understand(catalogue, read('note://all')).definition?.kind, 'resource')
  assert.equal(understand(catalogue, read('note://7')).definition?.name, 'note://{id}')
  for (const action of [prompt({ who: 'x' }), read('note://all'), read('note://7')]) {
    assert.equal(understand(catalogue, action).definitionHash, undefined)
  }
  for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel', 'tasks/result'] as const) {
    const understood = understand(catalogue, call('t1', {}, { method, arguments: undefined }))
    assert.equal(understood.definition, undefined)
    assert.equal(understood.definitionHash, undefined)
  }
})

test('a pin that is open takes undeclared arguments, and still checks the declared ones', async () => {
  const { catalogueOf } = await import('../../src/catalogue/catalogue.ts')
  const { pinOf } = await import('./pins.ts')
  const pin = pinOf({ tool: [SEARCH] })
  const open = catalogueOf([
    { ...pin, tools: pin.tools.map((tool) => ({ ...tool, argumentsOpen: true })) },
  ])
  assert.ok(understand(open, call('search', { q: 'a', extra: 1 })))
  assert.throws(() => understand(open, call('search', { q: 1, extra: 1 })), Refusal)
})

test('a uri that two templates name is refused, so that no policy about one of them is passed by', () => {
  const overlapping = catalogueWith({
    resource_template: [
      { uriTemplate: 'note://{+path}', name: 'any' },
      { uriTemplate: 'note://secret/{id}', name: 'secret' },
    ],
  })
  assert.equal(understand(overlapping, read('note://a/b')).definition?.name, 'note://{+path}')
  assert.throws(
    () => understand(overlapping, read('note://secret/1')),
    (error: unknown) => error instanceof Refusal && error.reason.code === 'action_unknown',
  )
})

const TEMPLATES: readonly [string, string, boolean][] = [
  ['note://{id}', 'note://7', true],
  ['note://{id}', 'note://', false],
  ['note://{id}', 'note://a/b', false],
  ['note://{id}', 'note://a%2Fb', false],
  ['note://{id}', 'note://a%20b', true],
  ['note://{id}', 'note://caf%C3%A9', true],
  ['note://{id}', 'note://caf%c3%a9', false],
  ['note://{id}', 'note://a%3Ab', true],
  ['note://{id}', 'note://a%3ab', false],
  ['note://{id}', 'note://%61dmin', false],
  ['note://{id}', 'note://a%41', false],
  ['note://{id}', 'note://a%5A%7A', false],
  ['note://{id}', 'note://a%5Fb', false],
  ['note://{+path}', 'note://a/%30', false],
  ['note://{+path}', 'note://a/%7E', false],
  ['note://{+path}', 'note://a/%40%5B%60%7B', true],
  ['note://{id}', 'note://..', false],
  ['note://{id}', 'note://%2e%2E', false],
  ['note://{id}', 'note://a%00', false],
  ['note://{id}', 'note://a%252e', false],
  ['note://{id}', 'xnote://a', false],
  ['note://{id}', 'note://a\n', false],
  ['file:///srv/{+path}', 'file:///srv/a/b.txt', true],
  ['file:///srv/{+path}', 'file:///srv/../etc/passwd', false],
  ['file:///srv/{+path}', 'file:///srv/a/..', false],
  ['file:///srv/{+path}', 'file:///srv/a\\..\\b', false],
  ['file:///srv/{+path}', 'file:///srv/a/..;/b', false],
  ['file:///srv/{+path}', 'file:///srv//etc/passwd', false],
  ['file:///srv/{+path}', 'file:///srv/a//b', false],
  ['file:///{+path}', 'file:///etc/hosts', true],
  ['file:///{+path}', 'file:////etc/hosts', false],
  ['docs://{+path}', 'docs://a/b', true],
  ['docs://{+path}', 'docs:///etc/passwd', false],
  ['x://h/f/{+path}', 'x://h/f//etc/passwd', false],
  ['x://h/f/{+path}', 'x://h/f/:///etc/passwd', false],
  ['x://h/f/{+path}', 'x://h/f/a:///etc/passwd', false],
  ['x://h/f/{+path}', 'x://h/f/a://b.example/c', true],
  ['view:{+uri}', 'view:https://a.example/b', true],
  ['a.b://{x}', 'aXb://1', false],
]
test('a template names what it says and nothing beside or above it', () => {
  for (const [template, uri, matches] of TEMPLATES) {
    assert.equal(compileTemplate(template)(uri), matches, `${template} ${uri}`)
  }
  for (const template of [
    'x://{?q}',
    `x://${'a'.repeat(1024)}{b}`,
    'x://{a,b}',
    'x://{a*}',
    'x://{#a}',
    'x://{a',
    'x://}',
    'x://{}',
  ]) {
    assert.throws(() => compileTemplate(template), Error, template)
  }
})
