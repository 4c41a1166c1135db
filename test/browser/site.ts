// A real broker on SQLite with its admin side, a real MCP server that reports, and real agents.
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createAgent } from '../../src/agent/index.ts'
import { type RunningBroker, startBroker } from '../../src/cli/broker.ts'
import { loadConfig } from '../../src/config/config.ts'
import { createDevelopmentDomain } from '../../src/identity/development.ts'
import type { SessionUpdate } from '../../src/ledger/session-book.ts'
import { newKeys } from '../../src/mint/keys.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import { type NotesServerOptions, startNotesServer } from '../examples/notes-server.ts'

const root = join(import.meta.dirname, '../..')

const POLICIES = `
@id("agents may connect")
permit (principal in Path::"spiffe://demo.test/agents", action == notes::Action::"mcp:session", resource);

@id("agents may read and add notes")
@description("reading and adding harms nobody")
@lifetime("30")
permit (
  principal in Path::"spiffe://demo.test/agents",
  action in [notes::Action::"list_notes", notes::Action::"add_note"],
  resource
);

@id("no secrets in notes")
forbid (principal, action == notes::Action::"add_note", resource)
when { context.input.text like "*password*" };

@id("deleting needs a person")
@approval("required")
permit (
  principal in Path::"spiffe://demo.test/agents",
  action == notes::Action::"delete_note",
  resource
);
`

export interface Agent {
  readonly workload: string
  /** Calls a tool through the MCP SDK. @throws {Error} when the call is refused */
  call(tool: string, input?: Record<string, unknown>): Promise<string>
  close(): Promise<void>
}

export interface ConsoleSite {
  /** The console as browsers reach it. */
  readonly url: string
  readonly issuer: string
  readonly resource: string
  readonly adminPort: number
  readonly broker: RunningBroker
  /** An agent with a key of its own; another one of the same path is the same agent with a new key. */
  agent(path: string, task?: string): Promise<Agent>
  /** Puts sessions into the book, as reports of brokers would. */
  seen(updates: readonly SessionUpdate[]): Promise<void>
  /** Stops the broker and starts it again on the same store and ports. */
  restartBroker(meanwhile?: () => Promise<void>): Promise<void>
  close(): Promise<void>
}

export async function startSite(): Promise<ConsoleSite> {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'writ-console-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const [port, adminPort, serverPort] = [await freePort(), await freePort(), await freePort()]
  const issuer = `http://127.0.0.1:${port}`
  const resource = `http://127.0.0.1:${serverPort}/mcp`
  const domain = await createDevelopmentDomain({
    directory: join(directory, 'domain'),
    trustDomain: 'demo.test',
  })
  await newKeys(join(directory, 'keys'), 'ES256', Date.now() / 1000)
  const pins = await readFile(join(root, 'config/catalogue/example.json'), 'utf8')
  await writeFile(
    join(directory, 'notes.json'),
    pins.replaceAll('http://127.0.0.1:4474/mcp', resource),
  )
  await mkdir(join(directory, 'policies'))
  await writeFile(join(directory, 'policies', 'notes.cedar'), POLICIES)
  const reporter = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...reporter.publicKey.export({ format: 'jwk' }), kid: 'notes-1', alg: 'ES256' }
  const file = join(directory, 'writ.yaml')
  const settings = {
    issuer,
    listen: { public: `127.0.0.1:${port}`, admin: `127.0.0.1:${adminPort}` },
    keys: { directory: join(directory, 'keys') },
    store: { sqlite: { file: join(directory, 'writ.db') } },
    trust: [{ spiffe: 'demo.test', bundle: { file: domain.bundleFile } }],
    servers: [{ resource, catalogue: join(directory, 'notes.json') }],
    policies: join(directory, 'policies'),
    audit: { directory: join(directory, 'audit') },
    clients: [
      {
        client_id: 'notes-server',
        jwks: { keys: [jwk] },
        scopes: ['writ:report'],
        resources: [resource],
      },
    ],
  }
  await writeFile(file, JSON.stringify(settings))
  const config = await loadConfig({ file, env: {} })
  let broker = await startBroker(config)
  stack.defer(() => broker.close())
  const options: NotesServerOptions & { reports: object } = {
    issuer,
    port: serverPort,
    directory: join(directory, 'notes'),
    reports: { clientId: 'notes-server', key: await keyFile(), everyMs: 100, holder: 'notes-1' },
  }
  const notes = await startNotesServer(options)
  stack.defer(() => notes.close())

  async function keyFile(): Promise<string> {
    const privateJwk = reporter.privateKey.export({ format: 'jwk' })
    const path = join(directory, 'reporter.json')
    await writeFile(path, JSON.stringify({ ...privateJwk, kid: 'notes-1', alg: 'ES256' }), {
      mode: 0o600,
    })
    return path
  }

  async function agent(path: string, task?: string): Promise<Agent> {
    const svid = () =>
      domain.issueJwtSvid({ path, audience: issuer, lifetimeSeconds: 300, now: Date.now() / 1000 })
    const parts = { broker: issuer, key: generateSenderKey(), identity: svid }
    const own = createAgent({ ...parts, ...(task === undefined ? {} : { task }) })
    const client = new Client({ name: 'agent', version: '1.0.0' })
    await client.connect(new StreamableHTTPClientTransport(new URL(resource), { fetch: own.fetch }))
    return {
      workload: `spiffe://demo.test${path}`,
      async call(name, input = {}) {
        const { content } = await client.callTool({ name, arguments: input })
        const [first] = content as { text?: string }[]
        return first?.text ?? ''
      },
      close: () => client.close(),
    }
  }

  let sequence = 0
  const opened = stack.move()
  return {
    ...{ url: broker.consoleUrl, issuer, resource, adminPort, agent },
    get broker() {
      return broker
    },
    async seen(updates) {
      sequence += 1
      await broker.ledger.sessions!.apply('test', sequence, updates)
    },
    async restartBroker(meanwhile) {
      await broker.close()
      await meanwhile?.()
      broker = await startBroker(config)
    },
    close: () => opened.disposeAsync(),
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
