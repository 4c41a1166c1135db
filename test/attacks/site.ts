/** A trust domain, keys, policies and a configuration in one folder; brokers and verifiers for them. */
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makePin } from '../../src/catalogue/pin.ts'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { newKeys } from '../../src/mint/keys.ts'
import type { Target } from '../../src/revocation/target.ts'
import { ageRedis, makeStore } from '../support/aged-store.ts'
import { revokeAt } from './admin.ts'
import { answering, freePort, type Program, startProgram } from './program.ts'
import type { VerifierSettings } from './verifier-main.ts'

/** Nothing resolves this name: verifiers listen on any port and are told apart by it. */
export const RESOURCE = 'https://mcp.test/mcp'
export const OTHER_RESOURCE = 'https://other.test/mcp'
export const TRUST_DOMAIN = 'corp.test'
export const BOT = '/agents/bots/a'

export const TOOLS: readonly JsonObject[] = [
  {
    name: 'add_note',
    description: 'keeps a note',
    inputSchema: {
      type: 'object',
      properties: { title: { type: 'string' }, count: { type: 'integer' } },
      required: ['title'],
    },
  },
  { name: 'wipe', description: 'removes all notes', inputSchema: { type: 'object' } },
]

const POLICIES = `
permit (principal in Path::"spiffe://${TRUST_DOMAIN}/agents",
  action in [Notes::Action::"add_note", Notes::Action::"mcp:session"], resource);
permit (principal in Path::"spiffe://${TRUST_DOMAIN}/agents",
  action == Other::Action::"add_note", resource);`

export interface VerifierProcess extends Program {
  readonly port: number
  readonly audit: string
  /** How often the server behind the gate ran, by token. */
  runs(): Promise<Record<string, number>>
}

export interface Site {
  readonly directory: string
  readonly issuer: string
  readonly config: string
  readonly domain: DevelopmentDomain
  readonly foreign: DevelopmentDomain
  readonly auditDirectory: string
  /** Every process that was started, also those that have ended. */
  readonly programs: readonly Program[]
  svid(path?: string): Promise<string>
  /** @param flags further arguments of `writ serve` */
  startBroker(flags?: readonly string[]): Promise<Program>
  startVerifier(settings?: Partial<VerifierSettings>): Promise<VerifierProcess>
  startVerifiers(settings?: Partial<VerifierSettings>): Promise<VerifierProcess[]>
  /** As `writ revoke` does it; resolved means acknowledged. */
  revoke(target: Target): Promise<string>
  /** The broker's records so far, of all its starts; a line cut short by a kill is left out. */
  audited(): Promise<JsonObject[]>
  stop(): Promise<void>
}

export interface SiteOptions {
  /** The store's part of the configuration; SQLite when not given. */
  readonly store?: JsonObject
  /** Where the broker listens, when something stands between it and its issuer's address. */
  readonly issuerPort?: number
  readonly listenPort?: number
  readonly changes?: Readonly<Record<string, Json>>
}

/** Its store has been there for a while, so that no broker waits for it. */
export async function makeSite(options: SiteOptions = {}): Promise<Site> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-at-'))
  const at = (...names: string[]) => join(directory, ...names)
  const port = options.issuerPort ?? (await freePort())
  const issuer = `http://127.0.0.1:${port}`
  const makeDomain = (trustDomain: string) =>
    createDevelopmentDomain({ directory: at(trustDomain), trustDomain })
  const domain = await makeDomain(TRUST_DOMAIN)
  const foreign = await makeDomain('foreign.test')
  await newKeys(at('keys'), 'ES256', Date.now() / 1000)
  const servers: [string, string][] = [
    ['Notes', RESOURCE],
    ['Other', OTHER_RESOURCE],
  ]
  for (const [name, resource] of servers) {
    const head = { name, resource, pinnedAt: new Date().toISOString() }
    await writeFile(at(`${name}.json`), JSON.stringify(makePin({ tool: TOOLS }, head)))
  }
  await mkdir(at('policies'))
  await writeFile(at('policies', 'all.cedar'), POLICIES)
  if (options.store === undefined) await makeStore(at('writ.db'))
  const { url } = (options.store?.redis ?? {}) as { url?: string }
  if (url !== undefined) await ageRedis(url)
  const config = at('writ.yaml')
  await writeFile(
    config,
    JSON.stringify({
      issuer,
      listen: { public: `127.0.0.1:${options.listenPort ?? port}`, admin: '127.0.0.1:0' },
      keys: { directory: at('keys') },
      store: options.store ?? { sqlite: { file: at('writ.db') } },
      trust: [domain, foreign].map((each) => ({
        spiffe: each.trustDomain,
        bundle: { file: each.bundleFile },
      })),
      servers: servers.map(([name, resource]) => ({ resource, catalogue: at(`${name}.json`) })),
      policies: at('policies'),
      // As long as they may be: what is refused here is never refused for its age.
      tokens: { lifetime_seconds: 300 },
      audit: { directory: at('audit') },
      ...options.changes,
    }),
  )

  const programs: Program[] = []
  let verifiers = 0
  const site: Site = {
    directory,
    issuer,
    config,
    domain,
    foreign,
    auditDirectory: at('audit'),
    programs,
    svid: (path = BOT) =>
      domain.issueJwtSvid({
        path,
        audience: issuer,
        lifetimeSeconds: 3000,
        now: Date.now() / 1000,
      }),
    async startBroker(flags = []) {
      const program = startProgram(['src/cli/main.ts', 'serve', '--config', config, ...flags])
      programs.push(program)
      const listen = flags[flags.indexOf('--listen') + 1]
      const url = flags.includes('--listen') ? `http://${listen}` : issuer
      await answering(`${url}/readyz`, program)
      return program
    },
    async startVerifier(settings = {}) {
      const audit = at(`verifier-${++verifiers}.jsonl`)
      const all: VerifierSettings = {
        issuer,
        resource: RESOURCE,
        definitions: TOOLS,
        audit,
        staleAfterMs: 1000,
        ...settings,
      }
      const program = startProgram(['test/attacks/verifier-main.ts', JSON.stringify(all)])
      programs.push(program)
      const gone = program.ended.then(() => {
        throw new Error(`a verifier did not start\n${program.printed()}`)
      })
      const [{ port }] = (await Promise.race([once(program.child, 'message'), gone])) as [
        { port: number },
      ]
      const runs = async () => (await program.ask<{ runs: Record<string, number> }>({})).runs
      return { ...program, port, audit, runs }
    },
    startVerifiers: (settings) =>
      Promise.all(Array.from({ length: 4 }, () => site.startVerifier(settings))),
    revoke: (target) => revokeAt(at('audit'), target),
    audited: () => readRecords(at('audit')),
    async stop() {
      await Promise.all(programs.map((program) => program.stop('SIGKILL')))
      await rm(directory, { recursive: true, force: true })
    },
  }
  return site
}

export async function readRecords(directory: string): Promise<JsonObject[]> {
  const names = await readdir(directory).catch(() => [])
  const files = names.filter((name) => name.endsWith('.jsonl')).sort()
  const texts = await Promise.all(files.map((name) => readFile(join(directory, name), 'utf8')))
  return texts.flatMap(recordsIn)
}

/** The complete lines of one log: what follows the last line break was never acknowledged. */
export function recordsIn(text: string): JsonObject[] {
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as JsonObject)
}
