/** A real broker, in a process of its own, whose policy lets one agent use every server of the matrix. */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makePin } from '../../src/catalogue/pin.ts'
import { createDevelopmentDomain } from '../../src/identity/development.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { newKeys, openKeys } from '../../src/mint/keys.ts'
import { mintToken } from '../../src/mint/mint.ts'
import type { TokenClaims } from '../../src/token/claims.ts'
import { makeStore } from '../support/aged-store.ts'

export interface RunningBroker {
  readonly issuer: string
  readonly agent: string
  identity(): Promise<string>
  /** Signs what the broker would never sign. */
  sign(claims: TokenClaims): string
  close(): Promise<void>
}

const TRUST_DOMAIN = 'matrix.test'
const PATH = '/agents/matrix'
const STARTUP_MS = 30_000

/** @param resources the MCP servers, whose tools are all `tools` */
export async function startBroker(
  resources: readonly string[],
  tools: readonly JsonObject[],
): Promise<RunningBroker> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-matrix-'))
  const agent = `spiffe://${TRUST_DOMAIN}${PATH}`
  const issuer = `http://127.0.0.1:${await freePort()}`
  const domain = await createDevelopmentDomain({
    directory: join(directory, 'domain'),
    trustDomain: TRUST_DOMAIN,
  })
  await newKeys(join(directory, 'signing'), 'ES256', Date.now() / 1000)
  await mkdir(join(directory, 'policies'))
  const policies: string[] = []
  for (const [index, resource] of resources.entries()) {
    const head = { name: `server${index}`, resource, pinnedAt: new Date().toISOString() }
    await writeFile(
      join(directory, `server${index}.json`),
      JSON.stringify(makePin({ tool: tools }, head)),
    )
    const actions = ['mcp:session', ...tools.map((tool) => String(tool.name))]
    policies.push(`permit (principal == Workload::"${agent}",
      action in [${actions.map((name) => `server${index}::Action::"${name}"`).join(', ')}],
      resource == McpServer::"${resource}");`)
  }
  await writeFile(join(directory, 'policies', 'matrix.cedar'), policies.join('\n'))
  await makeStore(join(directory, 'writ.db'))
  const configFile = join(directory, 'writ.yaml')
  await writeFile(
    configFile,
    JSON.stringify({
      issuer,
      listen: { public: new URL(issuer).host, admin: `127.0.0.1:${await freePort()}` },
      keys: { directory: join(directory, 'signing') },
      store: { sqlite: { file: join(directory, 'writ.db') } },
      trust: [{ spiffe: TRUST_DOMAIN, bundle: { file: domain.bundleFile } }],
      servers: resources.map((resource, index) => ({
        resource,
        catalogue: join(directory, `server${index}.json`),
      })),
      policies: join(directory, 'policies'),
      audit: { directory: join(directory, 'audit') },
    }),
  )
  const stop = await serve(configFile, issuer)
  const keys = await openKeys(join(directory, 'signing'), { now: Date.now() / 1000 })
  return {
    issuer,
    agent,
    identity: () =>
      domain.issueJwtSvid({
        path: PATH,
        audience: issuer,
        lifetimeSeconds: 300,
        now: Date.now() / 1000,
      }),
    sign: (claims) => mintToken(claims, keys.current(Date.now() / 1000)),
    async close() {
      keys.close()
      await stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** @throws {Error} with what the broker printed when it does not answer */
async function serve(configFile: string, issuer: string): Promise<() => Promise<void>> {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const args = [
    '--disable-warning=ExperimentalWarning',
    'src/cli/main.ts',
    'serve',
    '--config',
    configFile,
  ]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      printed = `${printed}${chunk}`.slice(-4000)
    })
  }
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const deadline = Date.now() + STARTUP_MS
  while (child.exitCode === null && Date.now() < deadline) {
    const response = await fetch(`${issuer}/readyz`).catch(() => undefined)
    if (response?.ok) {
      return async () => {
        child.kill('SIGTERM')
        await gone
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  child.kill('SIGKILL')
  throw new Error(`the broker does not answer\n${printed}`)
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
