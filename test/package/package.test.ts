/** What is installed from npm does what the repository does, from its emitted JavaScript. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { JsonObject } from '../../src/lib/json.ts'
import { skipWithoutRedis, startRedis } from '../support/redis.ts'
import { oldestNode } from './oldest-node.ts'
import { type Installed, installPackage, ROOT } from './packed.ts'
import { AGENT, makeSite, type Site, TOOL } from './site.ts'

const run = promisify(execFile)
const script = join(ROOT, 'test', 'package', 'round-trip.mjs')

let installed: Installed
let directory: string
let site: Site
let broker: Awaited<ReturnType<Site['serve']>>
before(async () => {
  installed = await installPackage()
  directory = await mkdtemp(join(tmpdir(), 'writ-installed-'))
  site = await makeSite(installed, join(directory, 'site'))
  broker = await site.serve()
})
after(async () => {
  await broker?.stop()
  await installed?.remove()
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
})

/** Runs a module in the project that has the package. */
function evaluate(node: string, source: string) {
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', source]
  return run(node, args, { cwd: installed.project })
}

async function roundTrip(at: Site, node: string, store: JsonObject): Promise<JsonObject> {
  const { issuer, resource, svid } = at
  const audit = join(at.directory, `verifier-${String(store.kind)}.jsonl`)
  const settings = { issuer, resource, store, definitions: [TOOL], svid, audit }
  const program = join(installed.project, 'round-trip.mjs')
  await copyFile(script, program)
  const args = ['--disable-warning=ExperimentalWarning', program, JSON.stringify(settings)]
  return JSON.parse((await run(node, args)).stdout)
}

const worked = {
  status: 200,
  text: `transfer_funds for ${AGENT}`,
  replayed: 401,
  why: 'invalid_token',
  ran: 1,
}

function assertWorked(answer: JsonObject): void {
  const { node, ...rest } = answer
  assert.deepEqual(rest, worked)
}

test('the package has the built program, its declarations, and the documents it names', () => {
  const { files } = installed
  const wanted = ['LICENSE', 'README.md', 'SECURITY.md', 'config/writ.yaml', 'docs/refusals.md']
  for (const name of wanted) assert.ok(files.includes(name), `${name} is missing`)
  assert.ok(files.includes('dist/cli/main.js'))
})

test('the package has no source, no tests, no keys and nothing that somebody left lying about', () => {
  const allowed =
    /^(dist|docs|config)\/|^(package\.json|LICENSE|README\.md|SECURITY\.md|CHANGELOG\.md)$/
  assert.deepEqual(
    installed.files.filter((name) => !allowed.test(name)),
    [],
  )
  assert.deepEqual(
    installed.files.filter((name) => name.startsWith('dist/') && !/\.(js|d\.ts)$/.test(name)),
    [],
  )
})

test('no emitted file loads a TypeScript file', async () => {
  for (const name of installed.files) {
    if (!name.endsWith('.js')) continue
    const text = await readFile(join(installed.folder, name), 'utf8')
    assert.doesNotMatch(text, /(?:from|import|import\(|new URL\()\s*['"`][^'"`\n]*\.ts['"`]/, name)
  }
})

test('every public entry point loads, and brings its declarations', async () => {
  const manifest = JSON.parse(await readFile(join(installed.folder, 'package.json'), 'utf8'))
  const entries = Object.entries(manifest.exports as Record<string, string | { types: string }>)
  assert.ok(entries.length > 4)
  for (const [entry, target] of entries) {
    if (typeof target === 'string') continue
    assert.ok(installed.files.includes(target.types.replace('./', '')), target.types)
    const source = `console.log(Object.keys(await import('mcp-writ/${entry.slice(2)}')).length)`
    const { stdout } = await evaluate(process.execPath, source)
    assert.ok(Number(stdout) > 0, entry)
  }
})

test('nothing but the public entry points can be imported', async () => {
  for (const name of ['', '/dist/cli/broker.js', '/exchange', '/token/jws.js']) {
    await assert.rejects(evaluate(process.execPath, `import 'mcp-writ${name}'`), /ERR_PACKAGE/)
  }
})

test('the installed command checks policies, explains one, inspects and diffs', async () => {
  // The first runs a worker thread, whose file is found by name.
  assert.equal((await site.writ('policy', 'check')).ok, true)
  const call = ['--agent', AGENT, '--server', site.resource, '--name', 'transfer_funds']
  const args = ['--arguments', '{"to":"alice","amount":5}']
  const explained = await site.writ('policy', 'explain', ...call, ...args)
  assert.deepEqual([explained.effect, explained.policies], ['permit', ['little']])
  assert.equal((await site.writ('token', 'inspect', 'svid.jwt')).kind, 'svid')
  assert.equal((await site.writ('catalogue', 'diff', 'bank.json', 'bank.json')).same, true)
  assert.equal((await site.writ('serve', '--check')).ok, true)
})

test('an installed agent calls an installed verifier once, with tokens of an installed broker', async () => {
  assertWorked(await roundTrip(site, process.execPath, { kind: 'memory' }))
})

test('the SQLite ledger of the package keeps what a verifier has spent', async () => {
  const file = join(directory, 'spent.db')
  assertWorked(await roundTrip(site, process.execPath, { kind: 'sqlite', file }))
})

test('the Redis ledger of the package spends once', { skip: skipWithoutRedis }, async () => {
  const redis = await startRedis()
  try {
    const { stdout } = await evaluate(
      process.execPath,
      `const { redisLedger } = await import('mcp-writ/ledger/redis')
      const ledger = redisLedger({ url: '${redis.url}', role: 'broker' })
      await ledger.open()
      const until = Date.now() / 1000 + 60
      const spends = [await ledger.spend('a', until), await ledger.spend('a', until)]
      await ledger.close()
      console.log(JSON.stringify(spends))`,
    )
    assert.deepEqual(JSON.parse(stdout), [true, false])
  } finally {
    await redis.stop()
  }
})

test('verifier and agent do a round trip on Node 22', { skip: oldestNode.skip }, async () => {
  const answer = await roundTrip(site, oldestNode.path, { kind: 'memory' })
  assert.match(String(answer.node), /^22\./)
  assertWorked(answer)
})

test('writ on Node 22 says which Node it needs', { skip: oldestNode.skip }, async () => {
  const main = join(installed.folder, 'dist', 'cli', 'main.js')
  await assert.rejects(run(oldestNode.path, [main, 'serve']), (error: unknown) => {
    const { code, stderr } = error as { code: number; stderr: string }
    assert.equal(code, 2)
    assert.match(stderr, /needs Node 24/)
    return true
  })
})

test('the installed broker stops when it is told to', async () => {
  assert.equal(await broker.stop(), 0)
})
