import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { catalogueOf, loadCatalogue } from '../../src/catalogue/catalogue.ts'
import { diffPins, makePin } from '../../src/catalogue/pin.ts'
import { type DefinitionKind, pinHash } from '../../src/catalogue/pin-file.ts'
import { vetDefinition } from '../../src/catalogue/vet.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { NOTES_TOOLS } from '../examples/notes-definitions.ts'
import { pinOf, RESOURCE } from './pins.ts'

const TOOL = {
  name: 'add',
  description: 'adds',
  inputSchema: { type: 'object', properties: { a: { type: 'string' } } },
}
const good = pinOf({ tool: [TOOL] })
const tool = good.tools[0] as JsonObject

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'writ-catalogue-'))
})
after(() => rm(folder, { recursive: true }))

async function load(...files: (object | string)[]) {
  const servers = await Promise.all(
    files.map(async (content, at) => {
      const file = join(folder, `${at}.json`)
      await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
      return { resource: at === 0 ? RESOURCE : `${RESOURCE}/${at}`, file }
    }),
  )
  return loadCatalogue(servers)
}
const rehashed = (changed: JsonObject) => ({
  ...good,
  tools: [{ ...changed, hash: pinHash('tool', changed) }],
})
const withSchema = (inputSchema: JsonObject) => rehashed({ ...TOOL, inputSchema })

test('a pin loads, and its version depends on what was pinned', async () => {
  const one = await load(good)
  assert.equal(one.servers.get(RESOURCE)?.tools.get('add')?.argumentsOpen, false)
  assert.equal((await load(good)).version, one.version)
  const other = pinOf({ tool: [{ ...TOOL, description: 'adds more' }] })
  assert.notEqual((await load(other)).version, one.version)
  const open = { ...good, tools: [{ ...tool, argumentsOpen: true }] }
  assert.notEqual((await load(open)).version, one.version)
})

const REFUSED: readonly [string, object | string, RegExp][] = [
  ['no JSON', '{', /0\.json: is not strict JSON.*writ catalogue pin/],
  ['a duplicate member', '{"version":1,"version":1}', /not strict JSON/],
  ['a list', '[]', /no JSON object/],
  ['another version', { ...good, version: 2 }, /version must be 1/],
  ['no name', { ...good, name: undefined }, /name must be an identifier/],
  ['a name that is a word of Cedar', { ...good, name: 'in' }, /identifier/],
  ['a member it does not know', { ...good, extra: 1 }, /"extra" is not a member/],
  [
    'a definition changed after pinning',
    { ...good, tools: [{ ...tool, description: 'x' }] },
    /tool "add": its hash does not fit/,
  ],
  ['a definition without a hash', { ...good, tools: [TOOL] }, /its hash does not fit/],
  [
    'a definition with more than is pinned',
    { ...good, tools: [{ ...tool, title: 'x' }] },
    /"title" is not pinned/,
  ],
  ['a tool twice', { ...good, tools: [tool, tool] }, /tool "add" is there twice/],
  [
    'argumentsOpen that is no boolean',
    { ...good, tools: [{ ...tool, argumentsOpen: 'yes' }] },
    /argumentsOpen/,
  ],
  [
    'a pin for another resource',
    { ...good, resource: 'https://other.example/mcp' },
    /configured for/,
  ],
  ['a resource that is no URI', { ...good, resource: 'mcp' }, /resource must be the URI/],
  ['tools that are no list', { ...good, tools: {} }, /0\.json: tools must be a list.*pin/],
  ['a tool that is no object', { ...good, tools: [5] }, /0\.json: tools must be a list/],
  ['more than 16 MiB', ' '.repeat(16 * 1024 * 1024 + 1), /0\.json: is not strict JSON/],
  ['a spiffeId that is none', { ...good, spiffeId: 'https://x' }, /SPIFFE ID/],
  [
    'a schema that is no object',
    withSchema({ type: 'array' }),
    /tool "add": inputSchema must have "type": "object"/,
  ],
  [
    'a remote reference',
    withSchema({ type: 'object', properties: { a: { $ref: 'https://x.example/' } } }),
    /never fetched/,
  ],
  [
    'a look-around',
    withSchema({ type: 'object', properties: { a: { pattern: '(?=a)' } } }),
    /look-around/,
  ],
  [
    'an argument that Cedar would read',
    withSchema({ type: 'object', properties: { __entity: {} } }),
    /must not be called __entity/,
  ],
  [
    'a huge schema',
    withSchema({ type: 'object', description: 'x'.repeat(300_000) }),
    /larger than/,
  ],
  [
    'one of fewer characters than bytes',
    withSchema({ type: 'object', description: 'ä'.repeat(150_000) }),
    /larger than/,
  ],
  [
    'a deep schema',
    withSchema({ type: 'object', not: JSON.parse(`${'{"not":'.repeat(60)}true${'}'.repeat(60)}`) }),
    /deeper|deep/,
  ],
  ['a name with an invisible character', rehashed({ ...TOOL, name: 'add\u200b' }), /invisible/],
  ['a name that is reserved', rehashed({ ...TOOL, name: 'mcp:session' }), /must not begin/],
  [
    'a hint that is no boolean',
    rehashed({ ...TOOL, annotations: { destructiveHint: 'no' } }),
    /destructiveHint/,
  ],
]
for (const [title, file, words] of REFUSED) {
  test(`a file with ${title} does not load, and says why`, async () => {
    await assert.rejects(load(file), words)
  })
}

test('all problems of all files are said at once', async () => {
  await assert.rejects(load({ ...good, version: 2 }, '{'), (error: Error) => {
    assert.match(error.message, /0\.json: version/)
    assert.match(error.message, /1\.json: is not strict JSON/)
    return true
  })
})

test('two servers with one name do not load', async () => {
  const other = { ...good, resource: `${RESOURCE}/1` }
  await assert.rejects(load(good, other), /another server is called "desk"/)
  await assert.doesNotReject(load(good, { ...other, name: 'other' }))
})

test('one server that is configured twice does not load, whatever the second file calls it', async () => {
  const file = join(folder, 'again.json')
  await load(good)
  await writeFile(file, JSON.stringify({ ...good, name: 'other' }))
  const twice = [join(folder, '0.json'), file].map((each) => ({ resource: RESOURCE, file: each }))
  await assert.rejects(loadCatalogue(twice), /again\.json: .*configured twice; remove one/)
})

test('a file of many definitions loads, far beyond what a message may have', async () => {
  const description = 'd'.repeat(10_000)
  const many = Array.from({ length: 200 }, (_, n) => ({ ...TOOL, name: `tool${n}`, description }))
  assert.equal((await load(pinOf({ tool: many }))).servers.get(RESOURCE)?.tools.size, 200)
})

const RESOURCES = { resource: [{ uri: 'note://all', name: 'n' }] }
const VERSIONS: readonly (readonly [string, object])[] = [
  ['its name', { ...good, name: 'other' }],
  ['its resource', { ...good, resource: `${RESOURCE}/2` }],
  ['its workload', { ...good, spiffeId: 'spiffe://corp.example/desk' }],
  ['a prompt', pinOf({ tool: [TOOL], prompt: [{ name: 'p' }] })],
  ['a resource', pinOf({ tool: [TOOL], ...RESOURCES })],
  [
    'a template',
    pinOf({ tool: [TOOL], resource_template: [{ uriTemplate: 'x://{y}', name: 'n' }] }),
  ],
]
for (const [what, pin] of VERSIONS) {
  test(`the version of a catalogue depends on each server: ${what}`, () => {
    assert.notEqual(catalogueOf([pin as JsonObject]).version, catalogueOf([good]).version)
  })
}

test('the order of servers makes no other version', () => {
  const other = pinOf({ tool: [TOOL] }, 'other', `${RESOURCE}/1`)
  assert.equal(catalogueOf([good, other]).version, catalogueOf([other, good]).version)
})

const careful = { readOnly: false, destructive: true, idempotent: false, openWorld: true }
const HINTS: readonly (readonly [string, JsonObject | undefined, typeof careful])[] = [
  ['nothing', undefined, careful],
  [
    'that it only reads',
    { readOnlyHint: true },
    { ...careful, readOnly: true, destructive: false },
  ],
  [
    'that it destroys and only reads',
    { readOnlyHint: true, destructiveHint: true },
    { ...careful, readOnly: true, destructive: false },
  ],
  ['that it does not only read', { readOnlyHint: false }, careful],
  ['that it destroys nothing', { destructiveHint: false }, { ...careful, destructive: false }],
  ['that it destroys', { destructiveHint: true }, careful],
  ['that it may be repeated', { idempotentHint: true }, { ...careful, idempotent: true }],
  ['that it stays inside', { openWorldHint: false }, { ...careful, openWorld: false }],
]
for (const [what, annotations, hints] of HINTS) {
  test(`a tool that says ${what} is taken for ${JSON.stringify(hints)}`, () => {
    const said = annotations === undefined ? TOOL : { ...TOOL, annotations }
    const server = catalogueOf([pinOf({ tool: [said] })]).servers.get(RESOURCE)
    assert.deepEqual(server?.tools.get('add')?.annotations, hints)
  })
}

test('prompts and resources only read', () => {
  const server = catalogueOf([pinOf({ prompt: [{ name: 'p' }], ...RESOURCES })]).servers.get(
    RESOURCE,
  )
  for (const definition of [server?.prompts.get('p'), server?.resources.get('note://all')]) {
    const { readOnly, destructive } = definition?.annotations ?? {}
    assert.deepEqual([readOnly, destructive], [true, false])
  }
})

test('a server that offers too many definitions of a kind is not pinned', () => {
  const named = (length: number) => Array.from({ length }, (_, n) => ({ name: `prompt${n}` }))
  assert.equal(pinOf({ prompt: named(2000) }).prompts.length, 2000)
  assert.throws(() => pinOf({ prompt: named(2001) }), /offers more than 2000 prompts/)
})

test('what cannot be used is left out of a pin, with the reason', () => {
  const bad = {
    ...TOOL,
    name: 'bad',
    inputSchema: { type: 'object', properties: { a: { pattern: '(a)\\1' } } },
  }
  const pin = pinOf({ tool: [TOOL, bad, TOOL], resource_template: [{ uriTemplate: 'x://{?q}' }] })
  assert.deepEqual(
    pin.tools.map((each) => each.name),
    ['add'],
  )
  const why = pin.refused?.map((each) => `${each.kind} ${each.name}: ${each.why}`).join('\n') ?? ''
  assert.match(why, /tool bad: .*back-reference/)
  assert.match(why, /tool add: is offered twice/)
  assert.match(why, /resource_template x:.*not supported/)
  assert.equal(catalogueOf([pin]).servers.get(RESOURCE)?.tools.size, 1)
})

test('a difference names the member that changed; decoration makes none', () => {
  const before = pinOf({ tool: [TOOL, { ...TOOL, name: 'gone' }] })
  const now = pinOf({
    tool: [
      { ...TOOL, title: 'new title', description: 'other', annotations: { readOnlyHint: true } },
      { ...TOOL, name: 'new' },
    ],
  })
  assert.deepEqual(diffPins(before, now), [
    { change: 'changed', kind: 'tool', name: 'add', members: ['description', 'annotations'] },
    { change: 'added', kind: 'tool', name: 'new', members: [] },
    { change: 'removed', kind: 'tool', name: 'gone', members: [] },
  ])
  assert.deepEqual(diffPins(before, before), [])
  const opened = {
    ...before,
    tools: before.tools.map((each) => ({ ...each, argumentsOpen: true })),
  }
  assert.deepEqual(diffPins(before, opened)[0]?.members, ['argumentsOpen'])
})

test('the example pin is what the example server offers', async () => {
  const file = new URL('../../config/catalogue/example.json', import.meta.url)
  const pinned = JSON.parse(await readFile(file, 'utf8'))
  const offered = makePin({ tool: NOTES_TOOLS }, pinned)
  assert.deepEqual(diffPins(pinned, offered), [], 'pin test/examples/notes-server.ts again')
  assert.equal(catalogueOf([pinned]).servers.get(pinned.resource)?.name, 'notes')
})

const toolWith = (more: JsonObject): JsonObject => ({
  name: 't',
  inputSchema: { type: 'object' },
  ...more,
})
const takes = (...names: string[]): JsonObject => ({
  name: 'p',
  arguments: names.map((name) => ({ name })),
})
const UNFIT: readonly (readonly [string, DefinitionKind, JsonObject, RegExp])[] = [
  ['no name', 'tool', toolWith({ name: '' }), /name must be a text/],
  ['a name that is too long', 'tool', toolWith({ name: 'n'.repeat(257) }), /name must be a text/],
  ['a relative address', 'resource', { uri: 'notes/1', name: 'n' }, /uri must be absolute/],
  ['a description of another type', 'tool', toolWith({ description: 5 }), /description must be/],
  ['an output of another type', 'tool', toolWith({ outputSchema: 5 }), /outputSchema must be/],
  ['annotations of another type', 'tool', toolWith({ annotations: [] }), /annotations must be/],
  ['arguments that are no list', 'prompt', { name: 'p', arguments: {} }, /must be a list/],
  ['an argument without a name', 'prompt', takes(''), /must have a name/],
  ['an argument that Cedar would read', 'prompt', takes('__extn'), /not be called __extn/],
  ['an argument twice', 'prompt', takes('a', 'a'), /two arguments are called "a"/],
]
for (const [what, kind, definition, why] of UNFIT) {
  test(`a definition with ${what} is fit for nothing`, () => {
    assert.match(vetDefinition(kind, definition, false) ?? 'fit', why)
  })
}
