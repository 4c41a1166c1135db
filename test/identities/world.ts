// A whole broker, wired as `writ serve` wires it, with every kind of identity it can be shown: two trust
// domains, a cluster, a CI system, an identity provider, registered clients, mutual TLS, a proxy.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makePin } from '../../src/catalogue/pin.ts'
import { type RunningBroker, startBroker } from '../../src/cli/broker.ts'
import { loadConfig } from '../../src/config/config.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { newKeys, openKeys } from '../../src/mint/keys.ts'
import { mintToken } from '../../src/mint/mint.ts'
import type { TokenClaims } from '../../src/token/claims.ts'
import { freePort } from '../attacks/program.ts'
import { readRecords } from '../attacks/site.ts'
import { TOOLS } from '../matrix/servers.ts'
import { testClient } from '../server/fixture.ts'
import { makeStore } from '../support/aged-store.ts'
import { makeTestDomain, seconds, type TestDomain } from './domain.ts'
import { type Issuers, startIssuers } from './issuers.ts'

export const AGENT = 'spiffe://corp.test/agents/bot'
export const AGENT_PATH = '/agents/bot'
/** From here a proxy may pass certificates on; from everywhere else nobody. */
export const PROXY = '127.0.0.2'

/** Registered, and the same workload as the agent. */
export const botClient = testClient('bot-client', { workload: AGENT })
/** May introspect and revoke. */
export const admin = testClient('admin', { scopes: ['writ:admin', 'writ:introspect'] })

export interface World extends Issuers {
  readonly issuer: string
  readonly mtlsUrl: string
  readonly directory: string
  readonly running: RunningBroker
  /** The resource URIs of the MCP servers, the first one the usual target. */
  readonly resources: readonly string[]
  readonly corp: TestDomain
  readonly other: TestDomain
  /** Reads the audit log as it is on disk, in the order of writing. */
  audited(): Promise<JsonObject[]>
  /** Signs what the broker itself would never sign. */
  sign(claims: TokenClaims): string
  /** Something to close before the broker is. */
  closing(close: () => void): void
}

export interface WorldOptions {
  /** Where MCP servers are. */
  readonly resources?: readonly string[]
  /** Further policies, for the servers `server0`, `server1`, … */
  readonly policies?: string
  /** Further entries of `trust`. */
  readonly trust?: readonly Record<string, unknown>[]
  readonly settings?: Record<string, unknown>
}

const AGENTS_MAY_ADD = (name: string) => `
permit (principal, action in [${name}::Action::"add", ${name}::Action::"mcp:session",
  ${name}::Action::"mcp:delegation"], resource);
forbid (principal, action == ${name}::Action::"add", resource)
when { context.input.text == "forbidden" };`

/** Runs until the end of the test or file that `t` stands for. */
export async function startWorld(
  t: { after(hook: () => Promise<void>): void },
  options: WorldOptions = {},
): Promise<World> {
  // Hooks run in the order in which they were set; parts are closed in the opposite one.
  const stack = new AsyncDisposableStack()
  t.after(() => stack.disposeAsync())
  const directory = await mkdtemp(join(tmpdir(), 'writ-identities-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const at = (...names: string[]) => join(directory, ...names)
  const [port, mtlsPort] = [await freePort(), await freePort()]
  const issuer = `http://127.0.0.1:${port}`
  const mtlsUrl = `https://127.0.0.1:${mtlsPort}`
  const [corp, other] = await Promise.all(
    ['corp.test', 'other.test'].map((name) =>
      makeTestDomain(name, { bundleFile: at(`${name}.json`), audience: issuer }),
    ),
  )
  const issuers = await startIssuers(
    { after: (hook) => stack.defer(hook) },
    { directory, broker: issuer },
  )
  const listener = corp!.certificate('/broker')
  await writeFile(at('listener.pem'), listener.cert)
  await writeFile(at('listener.key'), listener.key)
  await newKeys(at('keys'), 'ES256', seconds())
  await mkdir(at('policies'))
  const resources = options.resources ?? ['https://mcp.example/mcp']
  for (const [index, resource] of resources.entries()) {
    const head = { name: `server${index}`, resource, pinnedAt: new Date().toISOString() }
    const pin = makePin({ tool: TOOLS as unknown as JsonObject[] }, head)
    await writeFile(at(`server${index}.json`), JSON.stringify(pin))
  }
  const policies = resources.map((_, index) => AGENTS_MAY_ADD(`server${index}`))
  await writeFile(at('policies', 'all.cedar'), [...policies, options.policies ?? ''].join('\n'))
  await makeStore(at('writ.db'))
  const settings = {
    issuer,
    listen: { public: `127.0.0.1:${port}`, mtls: `127.0.0.1:${mtlsPort}`, admin: '127.0.0.1:0' },
    mtls: { url: mtlsUrl, certificate_file: at('listener.pem'), key_file: at('listener.key') },
    proxies: [PROXY],
    keys: { directory: at('keys') },
    store: { sqlite: { file: at('writ.db') } },
    trust: [
      ...[corp!, other!].map(({ name, bundleFile }) => ({
        spiffe: name,
        bundle: { file: bundleFile },
      })),
      ...issuers.trust,
      ...(options.trust ?? []),
    ],
    clients: [botClient, admin].map(({ client: { clientId, resources: _, ...client } }) => ({
      client_id: clientId,
      ...client,
    })),
    servers: resources.map((resource, index) => ({
      resource,
      catalogue: at(`server${index}.json`),
    })),
    policies: at('policies'),
    audit: { directory: at('audit') },
    shutdown: { drain_seconds: 0 },
    ...options.settings,
  }
  const file = at('writ.yaml')
  await writeFile(file, JSON.stringify(settings))
  const running = await startBroker(await loadConfig({ file, env: {} }))
  stack.defer(() => running.close())
  const keys = await openKeys(at('keys'), { now: seconds() })
  stack.defer(() => keys.close())
  return {
    ...issuers,
    issuer,
    mtlsUrl,
    directory,
    running,
    resources,
    corp: corp!,
    other: other!,
    audited: () => readRecords(at('audit')),
    sign: (claims) => mintToken(claims, keys.current(seconds())),
    closing: (close) => stack.defer(close),
  }
}
