import { type Logger, pino } from 'pino'
import { type Catalogue, loadCatalogue } from '../catalogue/catalogue.ts'
import type { Config } from '../config/config.ts'
import { openKeys, type SigningKeys } from '../mint/keys.ts'
import { openPolicies, type Policies } from '../policy/engine.ts'
import { Nonces, readNonceSecret } from '../token/nonce.ts'
import { configured } from './settings.ts'
import { messageOf } from './text.ts'
import { type ListenerCertificate, openTlsCredentials } from './tls-credentials.ts'
import { openTrust, type Trust } from './trust.ts'
import { createWorkloadApis } from './workload-apis.ts'

/** What can be read without touching the store or a port. */
export interface Parts {
  readonly keys: SigningKeys
  readonly nonces: Nonces | undefined
  readonly trust: Trust
  /** Of the mTLS listener; undefined without one. */
  readonly certificate: ListenerCertificate | undefined
  readonly catalogue: Catalogue
  readonly policies: Policies
}

export async function openParts(
  config: Config,
  log: Logger,
  stack: AsyncDisposableStack,
): Promise<Parts> {
  const keys = await configured(() =>
    openKeys(config.keys.directory, {
      now: Date.now() / 1000,
      onProblem: (problem) => log.error(`signing keys: ${problem.message}`),
    }),
  )
  stack.defer(() => keys.close())
  const secretFile = config.dpop.nonceSecretFile
  const nonces =
    secretFile === undefined
      ? undefined
      : new Nonces(await configured(() => readNonceSecret(secretFile)))
  const workloadApis = createWorkloadApis(log, stack)
  const trust = await openTrust(config, workloadApis, { log, stack })
  const { mtls } = config
  const certificate = mtls && (await openTlsCredentials(mtls, workloadApis, { log, stack }))
  const catalogue = await configured(() => loadCatalogue(config.servers))
  const policies = await configured(() =>
    openPolicies({
      directory: config.policies,
      catalogue,
      onProblem: (problems) => log.error(`policies: ${problems.join('; ')}`),
      onReload: (version) => log.info(`policies ${version} serve now`),
    }),
  )
  stack.defer(() => policies.close())
  return { keys, nonces, trust, certificate, catalogue, policies }
}

/** Opens everything the configuration names except the store and the listeners, and closes it again. */
export async function checkBroker(
  config: Config,
): Promise<{ policyVersion: string; catalogueVersion: string; problems: string[] }> {
  await using stack = new AsyncDisposableStack()
  const problems: string[] = []
  const log = pino(
    { level: 'warn' },
    { write: (line) => problems.push(String(JSON.parse(line).msg)) },
  )
  const parts = await openParts(config, log, stack)
  return {
    policyVersion: parts.policies.version,
    catalogueVersion: parts.catalogue.version,
    problems,
  }
}

/** Reads everything again; what is wrong is logged and the old serves on. */
export async function reloadParts(
  config: Config,
  parts: Parts,
  current: { catalogue: Catalogue },
  log: Logger,
): Promise<void> {
  await parts.trust.bundles.reload()
  await parts.certificate?.reload()
  await parts.keys.reload().catch((error) => log.error(`signing keys: ${messageOf(error)}`))
  try {
    const catalogue = await loadCatalogue(config.servers)
    const loaded = await parts.policies.reload(catalogue)
    // The two belong together: policies are valid against the catalogue they were checked with.
    // Why not has been logged already.
    if (!loaded.ok) return
    current.catalogue = catalogue
    log.info(`reloaded; policies ${loaded.version}, catalogue ${catalogue.version}`)
  } catch (error) {
    log.error(`catalogue and policies are kept as they were: ${messageOf(error)}`)
  }
}
