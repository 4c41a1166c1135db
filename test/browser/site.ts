// A real broker on SQLite with its admin side, a real MCP server that reports, and real agents.
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningBroker, startBroker } from '../../src/cli/broker.ts'
import { loadConfig } from '../../src/config/config.ts'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'
import type { SessionUpdate } from '../../src/ledger/session-book.ts'
import { newKeys } from '../../src/mint/keys.ts'
import { startNotesServer } from '../examples/notes-server.ts'
import { jwks, jwksKey, token } from '../identity/tokens.ts'
import { makeStore } from '../support/aged-store.ts'
import { type Agent, connectAgent } from './agents.ts'

export type { Agent } from './agents.ts'

const root = join(import.meta.dirname, '../..')

const OWN_DOMAIN = 'demo.test'
const IDP = 'https://login.test'

const POLICIES = `
@id("agents may connect")
permit (principal in Path::"spiffe://demo.test/agents", action == notes::Action::"mcp:session", resource);

@id("agents may read and add notes")
@description("reading and adding harms nobody")
@lifetime("300")
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

/** At every server, agents of every domain may do the same. */
function policiesOf(domain: string, server: string): string {
  const named = POLICIES.replaceAll('@id("', `@id("${server}: ${domain}: `)
  const own = domain === OWN_DOMAIN && server === 'notes'
  return (own ? POLICIES : named)
    .replaceAll(OWN_DOMAIN, domain)
    .replaceAll('notes::', `${server}::`)
}

export interface SiteOptions {
  /** More trust domains than `demo.test`. */
  readonly domains?: readonly string[]
  /** How many MCP servers there are; one, when not given. */
  readonly servers?: number
}

export interface AgentChoice {
  /** `demo.test`, when not given. */
  readonly domain?: string
  /** For whom it acts: `user:staff:<user>`; itself, when not given. */
  readonly user?: string
  /** One of the site's; the first, when not given. */
  readonly resource?: string
}

export interface ConsoleSite {
  /** The console as browsers reach it. */
  readonly url: string
  readonly issuer: string
  readonly resource: string
  /** Of every MCP server; the first is `resource`. */
  readonly resources: readonly string[]
  readonly adminPort: number
  readonly broker: RunningBroker
  /**
   * An agent with a key of its own; another one of the same path is the same agent with a new key. It
   * is closed with the site.
   */
  agent(path: string, task?: string, choice?: AgentChoice): Promise<Agent>
  /** Puts sessions into the book, as reports of brokers would. */
  seen(updates: readonly SessionUpdate[]): Promise<void>
  /** Stops the broker and starts it again on the same store and ports. */
  restartBroker(meanwhile?: () => Promise<void>): Promise<void>
  close(): Promise<void>
}

export async function startSite(options: SiteOptions = {}): Promise<ConsoleSite> {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'writ-console-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const [port, adminPort] = [await freePort(), await freePort()]
  const issuer = `http://127.0.0.1:${port}`
  const resources: string[] = []
  for (let n = 0; n < (options.servers ?? 1); n += 1) {
    resources.push(`http://127.0.0.1:${await freePort()}/mcp`)
  }
  const [resource] = resources as [string]
  const domains = new Map<string, DevelopmentDomain>()
  for (const trustDomain of [OWN_DOMAIN, ...(options.domains ?? [])]) {
    const place = { directory: join(directory, trustDomain), trustDomain }
    domains.set(trustDomain, await createDevelopmentDomain(place))
  }
  const people = jwksKey('ES256', 'staff-1')
  await writeFile(join(directory, 'staff.json'), jwks(people))
  await newKeys(join(directory, 'keys'), 'ES256', Date.now() / 1000)
  const pins = await readFile(join(root, 'config/catalogue/example.json'), 'utf8')
  await mkdir(join(directory, 'policies'))
  const servers: { resource: string; catalogue: string }[] = []
  for (const [at, resource] of resources.entries()) {
    const name = at === 0 ? 'notes' : `notes${at + 1}`
    const catalogue = join(directory, `${name}.json`)
    await writeFile(catalogue, JSON.stringify({ ...JSON.parse(pins), name, resource }))
    servers.push({ resource, catalogue })
    for (const domain of domains.keys()) {
      const file = domain === OWN_DOMAIN ? name : `${name}-${domain}`
      await writeFile(join(directory, 'policies', `${file}.cedar`), policiesOf(domain, name))
    }
  }
  const reporter = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...reporter.publicKey.export({ format: 'jwk' }), kid: 'notes-1', alg: 'ES256' }
  await makeStore(join(directory, 'writ.db'))
  const file = join(directory, 'writ.yaml')
  const settings = {
    issuer,
    listen: { public: `127.0.0.1:${port}`, admin: `127.0.0.1:${adminPort}` },
    keys: { directory: join(directory, 'keys') },
    store: { sqlite: { file: join(directory, 'writ.db') } },
    trust: [
      ...[...domains].map(([spiffe, { bundleFile }]) => ({ spiffe, bundle: { file: bundleFile } })),
      { users: 'staff', issuer: IDP, keys: { jwks_file: join(directory, 'staff.json') } },
    ],
    servers,
    policies: join(directory, 'policies'),
    audit: { directory: join(directory, 'audit') },
    // As long as may be: who is live, and what is held back, must outlast the slowest machine's looking.
    tokens: { lifetime_seconds: 300, session_lifetime_seconds: 300 },
    clients: [
      {
        client_id: 'notes-server',
        jwks: { keys: [jwk] },
        scopes: ['writ:report'],
        resources,
      },
    ],
  }
  await writeFile(file, JSON.stringify(settings))
  const config = await loadConfig({ file, env: {} })
  let broker = await startBroker(config)
  stack.defer(() => broker.close())
  const reporterFile = join(directory, 'reporter.json')
  const privateJwk = reporter.privateKey.export({ format: 'jwk' })
  await writeFile(reporterFile, JSON.stringify({ ...privateJwk, kid: 'notes-1', alg: 'ES256' }), {
    mode: 0o600,
  })
  for (const [at, each] of resources.entries()) {
    const reports = { clientId: 'notes-server', key: reporterFile, everyMs: 100 }
    const notes = await startNotesServer({
      issuer,
      port: Number(new URL(each).port),
      directory: join(directory, `notes-${at}`),
      reports: { ...reports, holder: `notes-${at + 1}` },
    })
    stack.defer(() => notes.close())
  }

  async function agent(path: string, task?: string, choice: AgentChoice = {}): Promise<Agent> {
    const { domain = OWN_DOMAIN, user } = choice
    const svid = { path, audience: issuer, lifetimeSeconds: 300 }
    const connected = await connectAgent({
      ...{ workload: `spiffe://${domain}${path}`, broker: issuer, task },
      resource: choice.resource ?? resource,
      identity: () => domains.get(domain)!.issueJwtSvid({ ...svid, now: Date.now() / 1000 }),
      user: user === undefined ? undefined : () => idToken(user),
    })
    opened.defer(() => connected.close())
    return connected
  }

  function idToken(sub: string): string {
    const iat = Math.floor(Date.now() / 1000)
    return token(people, { iss: IDP, sub, aud: issuer, iat, exp: iat + 200 })
  }

  let sequence = 0
  const opened = stack.move()
  return {
    ...{ url: broker.consoleUrl, issuer, resource, resources, adminPort, agent },
    get broker() {
      return broker
    },
    async seen(updates) {
      sequence += 1
      await broker.ledger.sessions!.apply('test', sequence, updates)
    },
    async restartBroker(meanwhile) {
      await broker.close()
      try {
        await meanwhile?.()
      } finally {
        broker = await startBroker(config)
      }
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
