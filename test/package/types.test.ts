/** What the declarations promise is what strict users, both SDKs and four frameworks can compile. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Installed, installPackage, tsc } from './packed.ts'

let installed: Installed
before(async () => {
  installed = await installPackage()
})
after(() => installed?.remove())

const OPTIONS = {
  target: 'es2024',
  module: 'nodenext',
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  verbatimModuleSyntax: true,
  skipLibCheck: false,
  noEmit: true,
}

/** What `tsc` says of these modules, in a project that has the package; it starts once for all. */
async function compile(project: string, modules: Record<string, string>): Promise<string[]> {
  const folder = join(installed.project, project)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const files = Object.keys(modules).map(fileOf)
  for (const [name, source] of Object.entries(modules)) {
    await writeFile(join(folder, fileOf(name)), source)
  }
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: OPTIONS, files }),
  )
  try {
    await tsc(['-p', folder, '--pretty', 'false'], folder)
    return []
  } catch (error) {
    const { stdout } = error as { stdout?: string }
    if (stdout === undefined) throw error
    return stdout.split('\n').filter((line) => line !== '')
  }
}

const fileOf = (name: string) => `${name.replace(/\W+/g, '-')}.ts`

/** A gate is mounted in an app of its own, as docs/verifying.md says. */
const GATES: Record<string, string> = {
  express: `
    import express from 'express'
    import { expressGate } from 'mcp-writ/verifier'
    const app = express()
    app.use(expressGate(verifier))
    app.post('/mcp', expressGate(verifier), (req, res) => { res.json(req.body) })
    export default app`,
  hono: `
    import { Hono } from 'hono'
    import { type AuthInfo, honoGate } from 'mcp-writ/verifier'
    const app = new Hono<{ Variables: { auth: AuthInfo; parsedBody: unknown } }>()
    app.use(honoGate(verifier))
    app.use('/mcp', honoGate(verifier))
    app.post('/mcp', (c) => c.json({ caller: c.get('auth').clientId }))
    export const bare = new Hono().use(honoGate(verifier))
    export default app`,
  fastify: `
    import Fastify from 'fastify'
    import { fastifyGate } from 'mcp-writ/verifier'
    const app = Fastify()
    app.register(async (scope) => {
      scope.register(fastifyGate(verifier))
      scope.post('/mcp', async (request) => request.body)
    })
    app.register(fastifyGate(verifier))
    export default app`,
  koa: `
    import Koa from 'koa'
    import { koaGate } from 'mcp-writ/verifier'
    const app = new Koa()
    app.use(koaGate(verifier))
    export default app`,
  node: `
    import { createServer } from 'node:http'
    import { nodeGate } from 'mcp-writ/verifier'
    const gate = nodeGate(verifier)
    createServer(async (req, res) => { if (await gate(req, res)) res.end() })`,
  fetch: `
    import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
    import { fetchGate } from 'mcp-writ/verifier'
    const handler = createMcpHandler(() => new McpServer({ name: 'x', version: '1' }))
    export default { fetch: fetchGate(verifier, handler.fetch) }`,
}

const VERIFIER = `
    import { createVerifier, memoryLedger } from 'mcp-writ/verifier'
    const verifier = createVerifier({
      issuer: 'https://broker.example',
      resource: 'https://mcp.example/mcp',
      ledger: memoryLedger(),
      definitions: 'unchecked',
      audit: (record) => { console.log(record.reason) },
    })`

const TRANSPORTS: Record<string, string> = {
  'SDK v1': '@modelcontextprotocol/sdk/client/streamableHttp.js',
  'SDK v2': '@modelcontextprotocol/client',
}

const ENTRIES: Record<string, string> = {
  verifier: VERIFIER,
  agent: `
    import { createAgent, createDpopFetch, generateSenderKey, WritError } from 'mcp-writ/agent'
    const agent = createAgent({ broker: 'https://broker.example', identity: () => 'x', key: generateSenderKey() })
    type Send = (url: string | URL, init?: RequestInit) => Promise<Response>
    export const sends: Send[] = [agent.fetch, createDpopFetch()]
    export const code = (error: unknown) => (error instanceof WritError ? error.code : undefined)`,
  'ledger/sqlite': `
    import { sqliteLedger } from 'mcp-writ/ledger/sqlite'
    import type { Ledger } from 'mcp-writ/verifier'
    export const ledger: Ledger = sqliteLedger({ file: 'spent.db' })`,
  'ledger/redis': `
    import { redisLedger } from 'mcp-writ/ledger/redis'
    import type { Ledger } from 'mcp-writ/verifier'
    export const ledger: Ledger = redisLedger({ url: 'redis://x', role: 'verifier', resource: 'https://mcp.example/mcp' })`,
}

test('the declarations of every entry, and of all they name, hold for the strictest of users', async () => {
  assert.deepEqual(await compile('entries', ENTRIES), [])
})

const used = Object.fromEntries([
  ...Object.entries(GATES).map(([gate, source]) => [`the ${gate} gate`, VERIFIER + source]),
  ...Object.entries(TRANSPORTS).map(([sdk, from]) => [
    `a transport of ${sdk}`,
    `import { StreamableHTTPClientTransport } from '${from}'
    import { createAgent, createDpopFetch } from 'mcp-writ/agent'
    const agent = createAgent({ broker: 'https://broker.example', identity: async () => 'x' })
    const url = new URL('https://mcp.example/mcp')
    export const transports = [
      new StreamableHTTPClientTransport(url, { fetch: agent.fetch }),
      new StreamableHTTPClientTransport(url, { fetch: createDpopFetch() }),
    ]`,
  ]),
])
const WRONG = `${ENTRIES.agent}\n createAgent({ broker: 1, identity: () => 'x' })`

test('gates fit real apps, and the transports of both SDKs take the agent’s fetch', async () => {
  const said = await compile('used', { ...used, wrong: WRONG })
  // Declarations of other packages may be wrong by themselves, which is not for us to mend.
  const ours = said.filter((line) => !/node_modules\/(?!mcp-writ\/)/.test(line.split('(')[0] ?? ''))
  const [wrong = '', ...more] = ours.filter((line) => line.startsWith('wrong.ts'))
  assert.match(wrong, /TS2322/, 'a wrong use is seen')
  assert.deepEqual(
    [...more, ...ours.filter((line) => /^[^\s]/.test(line) && !line.startsWith('wrong.ts'))],
    [],
  )
})
