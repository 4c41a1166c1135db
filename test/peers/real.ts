/** A whole broker in this process, wired as `writ serve` wires it, with everything in a folder of its own. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makePin } from '../../src/catalogue/pin.ts'
import { type RunningBroker, startBroker } from '../../src/cli/broker.ts'
import { loadConfig } from '../../src/config/config.ts'
import { createDevelopmentDomain } from '../../src/identity/development.ts'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { newKeys, openKeys } from '../../src/mint/keys.ts'
import { mintToken } from '../../src/mint/mint.ts'
import type { TokenClaims } from '../../src/token/claims.ts'
import { freePort } from '../attacks/program.ts'
import { readRecords } from '../attacks/site.ts'
import { makeStore } from '../support/aged-store.ts'

export const TRUST_DOMAIN = 'corp.test'
export const BOT = `spiffe://${TRUST_DOMAIN}/agents/bot`

export interface RealOptions {
  /** Resource URIs by the name that policies call the server. */
  readonly servers: Readonly<Record<string, string>>
  /** What every one of them offers. */
  readonly tools: readonly JsonObject[]
  /** Cedar. */
  readonly policies: string
  /** Demands a nonce in every proof. */
  readonly nonces?: boolean
  /** Further settings, as in the configuration file. */
  readonly settings?: Readonly<Record<string, Json>>
}

export interface Real {
  readonly issuer: string
  readonly directory: string
  readonly running: RunningBroker
  /** Of the one workload that policies speak of, or of another; issued at `now`, in seconds. */
  svid(path?: string, now?: number): Promise<string>
  /** The audit log as it is on disk, in the order of writing. */
  audited(): Promise<JsonObject[]>
  /** Signs what the broker itself would never sign. */
  sign(claims: TokenClaims): string
  stop(): Promise<void>
}

export async function startReal(options: RealOptions): Promise<Real> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-real-'))
  const at = (...names: string[]) => join(directory, ...names)
  const issuer = `http://127.0.0.1:${await freePort()}`
  const domain = await createDevelopmentDomain({
    directory: at('domain'),
    trustDomain: TRUST_DOMAIN,
  })
  await newKeys(at('keys'), 'ES256', Date.now() / 1000)
  for (const [name, resource] of Object.entries(options.servers)) {
    const head = { name, resource, pinnedAt: new Date().toISOString() }
    await writeFile(at(`${name}.json`), JSON.stringify(makePin({ tool: options.tools }, head)))
  }
  await mkdir(at('policies'))
  await writeFile(at('policies', 'all.cedar'), options.policies)
  const secret = at('nonce.secret')
  await writeFile(secret, randomBytes(32).toString('base64url'), { mode: 0o600 })
  await makeStore(at('writ.db'))
  const file = at('writ.yaml')
  const settings = {
    issuer,
    listen: { public: new URL(issuer).host, admin: '127.0.0.1:0' },
    keys: { directory: at('keys') },
    store: { sqlite: { file: at('writ.db') } },
    trust: [{ spiffe: TRUST_DOMAIN, bundle: { file: domain.bundleFile } }],
    servers: Object.entries(options.servers).map(([name, resource]) => ({
      resource,
      catalogue: at(`${name}.json`),
    })),
    policies: at('policies'),
    audit: { directory: at('audit') },
    ...(options.nonces ? { dpop: { nonce_secret_file: secret } } : {}),
    ...options.settings,
  }
  await writeFile(file, JSON.stringify(settings))
  const running = await startBroker(await loadConfig({ file, env: {} }))
  const keys = await openKeys(at('keys'), { now: Date.now() / 1000 })
  return {
    issuer,
    directory,
    running,
    svid: (path = '/agents/bot', now = Date.now() / 1000) =>
      domain.issueJwtSvid({ path, audience: issuer, lifetimeSeconds: 600, now }),
    audited: () => readRecords(at('audit')),
    sign: (claims) => mintToken(claims, keys.current(Date.now() / 1000)),
    async stop() {
      keys.close()
      await running.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
