/**
 * A site whose brokers have an admin side that programs may use: brokers and verifiers as processes of
 * their own, agents and users of several issuers, and names that look alike.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makePin } from '../../src/catalogue/pin.ts'
import { controlPath } from '../../src/cli/control.ts'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { type Cable, startCable } from '../attacks/cable.ts'
import { answering, freePort, type Program, startProgram } from '../attacks/program.ts'
import { seconds } from '../attacks/sender.ts'
import {
  makeSite,
  RESOURCE,
  readRecords,
  type Site,
  TOOLS,
  type VerifierProcess,
} from '../attacks/site.ts'
import type { VerifierSettings } from '../attacks/verifier-main.ts'
import type { IssuerKey } from '../identity/svids.ts'
import { jwks, jwksKey, token } from '../identity/tokens.ts'
import { type TestClient, testClient } from '../server/fixture.ts'

/** The beginning of the usual server's; only this one is ever stopped. */
export const BRIEF_RESOURCE = RESOURCE.slice(0, -2)
/** Two trust domains, one the beginning of the other; only `lone.test` is ever stopped. */
export const DOMAINS = ['corp.test', 'lone.test', 'lone.test.example'] as const
export type Domain = (typeof DOMAINS)[number]
/** Aliases of token issuers, again alike; `ci` and `staff` are stopped, the others never. */
const ALIASES = ['ci', 'ci-2', 'staff', 'staff-2', 'idp'] as const
export type Alias = (typeof ALIASES)[number]

const POLICIES = ['Notes', 'Brief', 'Live']
  .map(
    (
      name,
    ) => `permit (principal, action in [${name}::Action::"add_note", ${name}::Action::"mcp:session",
  ${name}::Action::"mcp:delegation"], resource);`,
  )
  .join('\n')

export interface BrokerProcess extends Program {
  readonly port: number
  /** As its configuration names it, for the audience of tokens and the proofs of requests. */
  readonly adminUrl: string
  readonly adminPort: number
  readonly mtlsPort: number
  readonly control: string
  readonly config: string
  audited(): Promise<JsonObject[]>
  /** The same one again, as it was configured. */
  again(): Promise<BrokerProcess>
}

export interface Place {
  readonly site: Site
  readonly brokers: readonly BrokerProcess[]
  readonly cable: Cable | undefined
  /** An MCP server that real agents can reach. */
  readonly liveResource: string
  readonly clients: Readonly<Record<ClientName, TestClient>>
  svid(path: string, domain?: Domain): Promise<string>
  /** A token of that issuer: a workload's of `ci`, a user's ID token of `staff`. */
  tokenOf(alias: Alias, sub: string): string
  startVerifier(resource: string, settings?: Partial<VerifierSettings>): Promise<VerifierProcess>
  /** Settings for a verifier that reports under this name. */
  reports(holder: string, more?: JsonObject): NonNullable<VerifierSettings['reports']>
  stop(): Promise<void>
}

const CLIENTS = {
  ops: ['writ:admin'],
  viewer: ['writ:viewer'],
  reporter: ['writ:report'],
  both: ['writ:admin', 'writ:introspect'],
} as const
export type ClientName = keyof typeof CLIENTS

export interface PlaceOptions {
  readonly brokers: number
  /** SQLite when not given. */
  readonly store?: JsonObject
  /** What goes to the issuer's address goes through a cable; `brokers[0].port` is past it. */
  readonly behindCable?: boolean
  /** All brokers have one admin side, as behind a name that leads to any of them. */
  readonly oneAdminSide?: boolean
}

export async function openPlace(options: PlaceOptions): Promise<Place> {
  const listenPort = await freePort()
  const cable = options.behindCable ? await startCable(listenPort) : undefined
  const site = await makeSite({
    issuerPort: cable?.port ?? listenPort,
    ...(options.store === undefined ? {} : { store: options.store }),
  })
  const at = (...names: string[]) => join(site.directory, ...names)
  const others = DOMAINS.filter((name) => name !== 'corp.test')
  const domains = new Map<string, DevelopmentDomain>([['corp.test', site.domain]])
  for (const trustDomain of others) {
    domains.set(
      trustDomain,
      await createDevelopmentDomain({ directory: at(trustDomain), trustDomain }),
    )
  }
  const keys = new Map<Alias, IssuerKey>()
  for (const alias of ALIASES) {
    keys.set(alias, jwksKey('ES256', `${alias}-1`))
    await writeFile(at(`${alias}.jwks`), jwks(keys.get(alias)!))
  }
  const livePort = await freePort()
  const liveResource = `http://127.0.0.1:${livePort}/mcp`
  const servers = { Notes: RESOURCE, Brief: BRIEF_RESOURCE, Live: liveResource }
  for (const [name, resource] of Object.entries(servers)) {
    const head = { name, resource, pinnedAt: new Date().toISOString() }
    await writeFile(at(`${name}.json`), JSON.stringify(makePin({ tool: TOOLS }, head)))
  }
  await writeFile(at('policies', 'all.cedar'), POLICIES)
  const clients = Object.fromEntries(
    Object.entries(CLIENTS).map(([name, scopes]) => [
      name,
      testClient(name, {
        scopes: [...scopes],
        resources: name === 'reporter' ? Object.values(servers) : [],
      }),
    ]),
  ) as Record<ClientName, TestClient>
  const reporterKey = at('reporter.json')
  const { privateKey, kid } = clients.reporter
  const reporterJwk = { ...privateKey.export({ format: 'jwk' }), kid, alg: 'ES256' }
  await writeFile(reporterKey, JSON.stringify(reporterJwk), { mode: 0o600 })
  const listener = await site.domain.issueX509Svid({ path: '/broker', lifetimeSeconds: 3600 })
  await writeFile(at('listener.pem'), listener.chainPem)
  await writeFile(at('listener.key'), listener.privateKeyPem ?? '', { mode: 0o600 })
  const settings = {
    ...(JSON.parse(await readFile(site.config, 'utf8')) as JsonObject),
    trust: [
      ...[...domains].map(([spiffe, { bundleFile }]) => ({ spiffe, bundle: { file: bundleFile } })),
      ...ALIASES.map((alias) => ({
        [alias.startsWith('ci') ? 'oidc' : 'users']: alias,
        issuer: issuerOf(alias),
        keys: { jwks_file: at(`${alias}.jwks`) },
      })),
    ],
    servers: Object.entries(servers).map(([name, resource]) => ({
      resource,
      catalogue: at(`${name}.json`),
    })),
    clients: Object.values(clients).map(({ client }) => ({
      client_id: client.clientId,
      jwks: client.jwks as unknown as JsonObject,
      scopes: [...client.scopes],
      resources: [...client.resources],
    })),
  }

  const oneAdminUrl = options.oneAdminSide ? `http://localhost:${await freePort()}` : undefined
  async function startBroker(port: number, adminPort: number, mtlsPort: number) {
    const config = at(`writ-${port}.yaml`)
    const audit = at(`audit-${port}`)
    const own = {
      listen: {
        public: `127.0.0.1:${port}`,
        admin: `127.0.0.1:${adminPort}`,
        mtls: `127.0.0.1:${mtlsPort}`,
      },
      mtls: {
        url: `https://127.0.0.1:${mtlsPort}`,
        certificate_file: at('listener.pem'),
        key_file: at('listener.key'),
      },
      audit: { directory: audit },
      ...(oneAdminUrl === undefined ? {} : { admin: { url: oneAdminUrl } }),
    }
    await writeFile(config, JSON.stringify({ ...settings, ...own }))
    const program = startProgram(['src/cli/main.ts', 'serve', '--config', config])
    programs.push(program)
    await answering(`http://127.0.0.1:${port}/readyz`, program)
    const broker: BrokerProcess = {
      ...program,
      ...{ port, mtlsPort, config, control: controlPath(audit) },
      adminUrl: oneAdminUrl ?? `http://localhost:${adminPort}`,
      adminPort,
      audited: () => readRecords(audit),
      async again() {
        await program.stop('SIGKILL')
        const again = await startBroker(port, adminPort, mtlsPort)
        started[started.indexOf(broker)] = again
        return again
      },
    }
    return broker
  }

  const started: BrokerProcess[] = []
  const programs: Program[] = []
  const place: Place = {
    site,
    brokers: started,
    cable,
    liveResource,
    clients,
    svid: (path, domain = 'corp.test') =>
      domains.get(domain)!.issueJwtSvid({
        path,
        audience: site.issuer,
        lifetimeSeconds: 3000,
        now: seconds(),
      }),
    tokenOf(alias, sub) {
      const iat = Math.floor(seconds())
      const claims = { iss: issuerOf(alias), sub, aud: [site.issuer], iat, exp: iat + 300 }
      return token(keys.get(alias)!, { ...claims, jti: crypto.randomUUID() })
    },
    async startVerifier(resource, more = {}) {
      const near = options.store === undefined ? {} : { redis: options.store.redis as JsonObject }
      return await site.startVerifier({
        ...{ resource, ...near, ...more },
        ...(resource === liveResource ? { port: livePort } : {}),
      })
    },
    reports: (holder, more = {}) => ({
      ...{ clientId: 'reporter', key: reporterKey, everyMs: 100, holder },
      ...{ url: `http://127.0.0.1:${listenPort}/reports`, ...more },
    }),
    async stop() {
      await Promise.all(programs.map((program) => program.stop('SIGKILL')))
      await cable?.close()
      await site.stop()
    },
  }
  try {
    const more = Array.from({ length: options.brokers - 1 }, freePort)
    const ports = [listenPort, ...(await Promise.all(more))]
    const starting = ports.map(async (port) =>
      startBroker(port, await freePort(), await freePort()),
    )
    started.push(...(await Promise.all(starting)))
  } catch (error) {
    await place.stop()
    throw error
  }
  return place
}

const issuerOf = (alias: Alias): string => `https://${alias}.test`
