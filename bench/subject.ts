// The broker under measurement: the real one, with ten policies, its whole HTTP server and its audit
// log; or, bare, with a policy that is a constant and an audit that is nothing.
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type RunningBroker, startBroker } from '../src/cli/broker.ts'
import { loadConfig } from '../src/config/config.ts'
import type { Broker } from '../src/exchange/broker.ts'
import { createDevelopmentDomain } from '../src/identity/development.ts'
import { newKeys } from '../src/mint/keys.ts'
import type { ServerOptions } from './child.ts'
import { KEYS, RESOURCE, TOOL } from './load.ts'

const AGENT = '/agents/a'
const POLICIES = 10

export interface Subject {
  readonly running: RunningBroker
  /** One for each key of the load, good for about an hour. */
  readonly svids: readonly string[]
  /** What proofs must name. */
  readonly proofUrl: string
}

export async function openSubject(
  options: ServerOptions,
  onStep?: Broker['onStep'],
): Promise<Subject> {
  const place = (name: string) => join(options.directory, name)
  const port = options.port ?? 0
  // The issuer is only a name here: nobody connects to it.
  const issuer = `http://127.0.0.1:${port === 0 ? 4470 : port}`
  const domain = await createDevelopmentDomain({
    directory: place('domain'),
    trustDomain: 'bench.test',
  })
  await newKeys(place('signing'), 'ES256', Date.now() / 1000)
  const pins = fileURLToPath(new URL('../config/catalogue/example.json', import.meta.url))
  await cp(pins, place('pins.json'))
  await mkdir(place('policies'))
  await writeFile(place('policies/bench.cedar'), policies())
  const store =
    options.redisUrl === undefined
      ? `sqlite: { file: ${place('writ.db')} }`
      : `redis: { url: '${options.redisUrl}' }`
  await writeFile(
    place('writ.yaml'),
    `issuer: ${issuer}
listen: { public: 127.0.0.1:${port}, admin: 127.0.0.1:0 }
keys: { directory: ${place('signing')} }
store: { ${store} }
trust: [{ spiffe: bench.test, bundle: { file: ${domain.bundleFile} } }]
servers: [{ resource: ${RESOURCE}, catalogue: ${place('pins.json')} }]
policies: ${place('policies')}
audit: { directory: ${place('audit')} }
`,
  )
  const config = await loadConfig({ file: place('writ.yaml'), env: {} })
  const running = await startBroker(config, onStep === undefined ? {} : { onStep })
  if (options.bare) strip(running.broker)
  const svids: string[] = []
  for (let index = 0; index < KEYS; index += 1) {
    // Each ends at another second: two of equal content would be one SVID.
    const lifetimeSeconds = 3600 - index
    const now = Date.now() / 1000
    svids.push(await domain.issueJwtSvid({ path: AGENT, audience: issuer, lifetimeSeconds, now }))
  }
  return { running, svids, proofUrl: `${issuer}/token` }
}

/** Takes policy and audit out, to see what the rest costs. */
function strip(whole: Broker): void {
  const broker = whole as { -readonly [part in keyof Broker]: Broker[part] }
  const permit = {
    effect: 'permit',
    policies: [],
    version: 'none',
    lifetimeSeconds: undefined,
    binding: undefined,
    maxUses: 1,
  } as const
  broker.policies = { decide: () => permit }
  broker.audit = { record: async () => {} }
}

/** One that permits what the load asks for, and others of the same server. */
function policies(): string {
  const permit = (agent: string, tool: string) => `permit (
  principal == Workload::"spiffe://bench.test${agent}",
  action == notes::Action::"${tool}",
  resource == McpServer::"${RESOURCE}"
) when { context.input.title like "Weekly*" };\n`
  return Array.from({ length: POLICIES }, (_, index) =>
    permit(index === 0 ? AGENT : `/agents/other-${index}`, TOOL),
  ).join('\n')
}
