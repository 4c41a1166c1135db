/**
 * Two trust domains that know each other. In corp.test: a broker, an MCP server and an agent; in
 * partner.test: an agent. Each is a process of its own that learns from the Workload API who it is.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type AgentConfig, type AgentProcess, startAgent } from './agent.ts'
import { fetchX509Svid } from './api.ts'
import { type Broker, startBroker } from './broker.ts'
import { buildSpire } from './build.ts'
import { makeRoot } from './certificates.ts'
import { type Child, start, until } from './child.ts'
import { type CertificateFiles, freePort, ownProgram, type Spire, startSpire } from './spire.ts'
import { TOOLS } from './tools.ts'

export const BROKER = 'spiffe://corp.test/broker'
export const SERVER = 'spiffe://corp.test/servers/greeter'
export const AGENT = 'spiffe://corp.test/agents/report-bot'
export const PARTNER = 'spiffe://partner.test/agents/buyer'
/** Knows everything that the others know, and is nobody that anybody wants. */
export const STRANGER = 'spiffe://corp.test/agents/stranger'

export interface World {
  readonly corp: Spire
  readonly partner: Spire
  readonly broker: Broker
  /** The broker's mTLS listener. */
  readonly mtlsUrl: string
  readonly resource: string
  /** An X.509-SVID of the agent's, in files, that nobody replaces. */
  takeSvid(): Promise<CertificateFiles>
  /** Starts the agent, or finds it running. */
  agent(id: string): AgentProcess
  /** Starts the MCP server as whoever `id` is, at the one place where it is looked for. */
  startServer(id: string): Promise<Child>
  /** Everything the MCP server has written to its audit log. */
  readonly serverAuditFile: string
  /** What the broker and the MCP server said last, for whoever has to find out why a test failed. */
  printed(): string
  stop(): Promise<void>
}

/** @throws {Error} with what the program printed that did not start */
export async function startWorld(): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-spire-'))
  const stopping: (() => Promise<unknown>)[] = [
    () => rm(directory, { recursive: true, force: true }),
  ]
  const stop = async () => {
    for (const one of stopping.splice(0).reverse()) await one()
  }
  try {
    const [corp, partner] = await Promise.all(
      ['corp.test', 'partner.test'].map(async (trustDomain) => {
        const home = join(directory, trustDomain)
        await mkdir(home)
        // One domain signs with its own CA, the other with one below another: chains of one and of two.
        const below = trustDomain === 'partner.test'
        const upstream = below ? await makeRoot(home, trustDomain) : undefined
        const spire = await startSpire({
          trustDomain,
          directory: home,
          ...(upstream && { upstream }),
        })
        stopping.push(() => spire.stop())
        return spire
      }),
    )
    return await populate(corp!, partner!)
  } catch (error) {
    await stop()
    throw error
  }

  async function populate(corp: Spire, partner: Spire): Promise<World> {
    await corp.federateWith(partner)
    await partner.federateWith(corp)
    const programs = new Map<string, string>()
    for (const id of [BROKER, SERVER, AGENT, STRANGER, PARTNER]) {
      const { host, pathname } = new URL(id)
      const [spire, other] = host === 'corp.test' ? [corp, partner] : [partner, corp]
      const program = await ownProgram(
        process.execPath,
        join(directory, pathname.replaceAll('/', '-').slice(1)),
      )
      programs.set(id, program)
      const federatesWith = [other.trustDomain]
      await spire.register({ path: pathname, program, federatesWith })
    }
    const holder = await ownProgram(buildSpire().agent, join(directory, 'holder'))
    // What it is given is kept, and must not end before it is refused for another reason.
    await corp.register({ path: new URL(AGENT).pathname, program: holder, x509TtlSeconds: 900 })
    await corp.startAgent()
    await partner.startAgent()

    const [brokerPort, mtlsPort, serverPort] = await Promise.all([
      freePort(),
      freePort(),
      freePort(),
    ])
    const issuer = `http://127.0.0.1:${brokerPort}`
    const mtlsUrl = `https://127.0.0.1:${mtlsPort}`
    const resource = `https://127.0.0.1:${serverPort}/mcp`
    const bootstrapFile = join(directory, 'partner.json')
    await writeFile(bootstrapFile, await partner.bundle())
    const broker = await startBroker({
      directory: join(directory, 'broker-files'),
      issuer,
      program: programs.get(BROKER)!,
      trust: [
        { spiffe: corp.trustDomain, bundle: { workload_api: corp.socket } },
        {
          spiffe: partner.trustDomain,
          bundle: {
            endpoint: partner.endpoint.url,
            profile: 'https_spiffe',
            spiffe_id: partner.endpoint.spiffeId,
            bootstrap_file: bootstrapFile,
            allow_addresses: ['127.0.0.0/8'],
          },
        },
      ],
      listen: { mtls: `127.0.0.1:${mtlsPort}` },
      settings: {
        mtls: { url: mtlsUrl, workload_api: corp.socket },
        // Whether a machine that builds something else beats every second is not what is asked here.
        revocation: { stale_after_ms: STALE_AFTER_MS },
      },
      server: { resource, tools: TOOLS, spiffeId: SERVER },
      agents: [AGENT, PARTNER],
    })
    stopping.push(() => broker.stop())

    const serverAuditFile = join(directory, 'server-audit.jsonl')
    const agents = new Map<string, AgentProcess>()
    let server: Child | undefined
    const world: World = {
      corp,
      partner,
      broker,
      mtlsUrl,
      resource,
      serverAuditFile,
      takeSvid: () =>
        fetchX509Svid(holder, corp.socket, directory).then(() => ({
          certificateFile: join(directory, 'svid.0.pem'),
          keyFile: join(directory, 'svid.0.key'),
        })),
      agent(id) {
        const known = agents.get(id)
        if (known !== undefined) return known
        const { socket } = new URL(id).host === 'corp.test' ? corp : partner
        const config: AgentConfig = { broker: issuer, brokerSpiffeId: BROKER, resource, socket }
        const agent = startAgent(programs.get(id)!, config)
        stopping.push(() => agent.stop())
        agents.set(id, agent)
        return agent
      },
      async startServer(id) {
        const at = { issuer, resource, socket: corp.socket, auditFile: serverAuditFile }
        const config = { ...at, staleAfterMs: STALE_AFTER_MS }
        const args = ['--disable-warning=ExperimentalWarning', SERVER_MAIN, JSON.stringify(config)]
        const child = start(programs.get(id)!, args)
        server = child
        stopping.push(() => child.stop())
        await until('the MCP server does not come up', child, async () =>
          child.printed().includes('listening on') ? true : undefined,
        )
        return child
      },
      printed: () => `broker: ${broker.printed()}\nMCP server: ${server?.printed()}`,
      stop,
    }
    return world
  }
}

/** Without a word of revocations for so long, broker and MCP server refuse everything. */
export const STALE_AFTER_MS = 20_000

const SERVER_MAIN = fileURLToPath(new URL('./server-main.ts', import.meta.url))

/** Prints what the programs said, once, when a test of the file fails. */
export function explain(world: () => World | undefined): void {
  let explained = false
  afterEach((t) => {
    if (explained || !('passed' in t) || t.passed) return
    explained = true
    process.stderr.write(`${world()?.printed()}\n`)
  })
}
