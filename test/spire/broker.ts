/** A real broker in a process of its own, for the workloads and servers of one test. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makePin } from '../../src/catalogue/pin.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { newKeys } from '../../src/mint/keys.ts'
import { run, start, until } from './child.ts'

export interface BrokerOptions {
  readonly directory: string
  readonly issuer: string
  /** What its process runs, which says who it is to SPIRE. */
  readonly program: string
  readonly trust: readonly object[]
  /** Settings besides those every broker of these tests has. */
  readonly settings?: object
  readonly listen?: object
  readonly server: {
    readonly resource: string
    readonly tools: readonly JsonObject[]
    readonly spiffeId?: string
  }
  /** The SPIFFE IDs of those who may use the server. */
  readonly agents: readonly string[]
}

export interface Broker {
  readonly issuer: string
  /** Everything written to the audit log so far. */
  audit(): Promise<Record<string, unknown>[]>
  /** Runs `writ revoke` for an agent. */
  revoke(agent: string): Promise<void>
  /** The end of what it logged. */
  printed(): string
  stop(): Promise<void>
}

const repository = fileURLToPath(new URL('../..', import.meta.url))
const MAIN = ['--disable-warning=ExperimentalWarning', join(repository, 'src/cli/main.ts')]

/** @throws {Error} with what the broker printed when it does not get ready */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { directory, issuer, program, server } = options
  const at = (name: string) => join(directory, name)
  await mkdir(at('policies'), { recursive: true })
  await newKeys(at('signing'), 'ES256', Date.now() / 1000)
  const pin = { name: 'server', pinnedAt: new Date().toISOString(), ...server }
  await writeFile(at('server.json'), JSON.stringify(makePin({ tool: server.tools }, pin)))
  await writeFile(at('policies/agents.cedar'), policyOf(options))
  const configFile = at('writ.yaml')
  await writeFile(
    configFile,
    JSON.stringify({
      issuer,
      listen: { public: new URL(issuer).host, admin: '127.0.0.1:0', ...options.listen },
      keys: { directory: at('signing') },
      store: { sqlite: { file: at('writ.db') } },
      trust: options.trust,
      servers: [{ resource: server.resource, catalogue: at('server.json') }],
      policies: at('policies'),
      audit: { directory: at('audit') },
      ...options.settings,
    }),
  )
  const broker = start(program, [...MAIN, 'serve', '--config', configFile], { cwd: repository })
  await until('the broker does not get ready', broker, async () =>
    (await fetch(`${issuer}/readyz`)).ok ? true : undefined,
  ).catch(async (error: unknown) => {
    await broker.stop()
    throw error
  })
  return {
    issuer,
    async audit() {
      const files = (await readdir(at('audit'))).filter((name) => name.endsWith('.jsonl'))
      const texts = await Promise.all(files.map((name) => readFile(at(`audit/${name}`), 'utf8')))
      return texts.flatMap((text) =>
        text
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line)),
      )
    },
    async revoke(agent) {
      const what = ['revoke', `agent:${agent}`, '--config', configFile, '--reason', 'test']
      await run(process.execPath, [...MAIN, ...what, '--for', '10m'])
    },
    printed: () => broker.printed(),
    stop: () => broker.stop(),
  }
}

function policyOf({ agents, server }: BrokerOptions): string {
  const actions = ['mcp:session', ...server.tools.map(({ name }) => String(name))]
    .map((name) => `server::Action::"${name}"`)
    .join(', ')
  return agents
    .map(
      (id) => `permit (
  principal == Workload::"${id}",
  action in [${actions}],
  resource == McpServer::"${server.resource}"
);`,
    )
    .join('\n')
}
