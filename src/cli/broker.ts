/**
 * Wires one broker together: configuration → open parts → a listening server. The only place that
 * knows every part. Parts are opened in the order in which they need each other and closed in the
 * opposite order, also when a later one fails to open.
 */
import { type Logger, pino } from 'pino'
import { type AuditLog, openAuditLog } from '../audit/file.ts'
import type { Config } from '../config/config.ts'
import type { Broker } from '../exchange/broker.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { RevocationRequest } from '../revocation/publisher.ts'
import type { Revocations } from '../revocation/revocations.ts'
import type { Revocation } from '../revocation/target.ts'
import { revocationRecord } from '../server/revocation-record.ts'
import { createServer } from '../server/server.ts'
import { holdAdminAddress } from './admin-address.ts'
import { clientsOf, openAdminSide } from './admin-side.ts'
import { openParts, reloadParts } from './broker-parts.ts'
import { controlPath, openControl } from './control.ts'
import { brokerOf } from './exchange.ts'
import { openFeed } from './feed.ts'
import { trustFault } from './readiness.ts'
import { available, configured } from './settings.ts'
import { openLedger, proofsCount, spentIn } from './store.ts'
import { messageOf } from './text.ts'

export interface RunningBroker {
  readonly publicUrl: string
  readonly adminUrl: string
  /** Undefined without an mTLS listener. */
  readonly mtlsUrl: string | undefined
  readonly broker: Broker
  readonly ledger: Ledger
  readonly revocations: Revocations
  /** The socket that commands on this host use; undefined when another broker has it. */
  readonly controlPath: string | undefined
  /** Where people sign in. */
  readonly consoleUrl: string
  /** A link with which the first person enrols a passkey; undefined when somebody has. */
  firstLink(): Promise<string | undefined>
  /** Durable, audited, and in force everywhere within the bound when resolved. */
  revoke(request: RevocationRequest): Promise<Revocation>
  /**
   * Continues the audit log in a new file, and reads keys, bundles, catalogue and policies again; what
   * is wrong is logged, the old serves on.
   */
  reload(): Promise<void>
  /** Stops listening, finishes what is in flight, flushes the audit, closes the store. */
  close(): Promise<void>
}

const now = () => Date.now() / 1000

/**
 * Starts a broker; resolved means it answers.
 *
 * @throws {CliError} configuration or unavailable, saying what to mend
 */
export async function startBroker(
  config: Config,
  options: { readonly log?: Logger; readonly onStep?: Broker['onStep'] } = {},
): Promise<RunningBroker> {
  const log = options.log ?? pino({ enabled: false })
  const stack = new AsyncDisposableStack()
  try {
    const parts = await openParts(config, log, stack)
    const audit = await configured(() =>
      openAuditLog({
        directory: config.audit.directory,
        origin: originOf(config),
        onFailure: (why) => log.error(`the audit log: ${why}; ${NO_AUDIT}`),
      }),
    )
    stack.defer(() => audit.close())
    const ledger = await configured(() => openLedger(config))
    stack.defer(() => ledger.close())
    await available(() => ledger.open())
    await proofsCount(ledger, log)
    const transport = ledger.feed
    if (transport === undefined) throw new Error('the store of a broker carries the revocations')
    const feed = await openFeed(config, { transport, keys: parts.keys, log }, stack)
    const { publisher, revocations } = feed

    const current = { catalogue: parts.catalogue }
    const health = () => server.readiness()
    const address = await available(() => holdAdminAddress(config, stack))
    const { url } = address
    const needs = { url, parts, current, ledger, feed, audit, log, health }
    const admin = await available(() => openAdminSide(config, needs, stack))
    const { sessions } = admin
    const live = { ledger, revocations, audit, current, sessions }
    const broker = brokerOf(config, parts, live, options.onStep)
    const revoke = async (request: RevocationRequest) => {
      const [revocation] = await admin.history.revoke([request])
      await audit.record(revocationRecord(revocation!, 'cli'))
      return revocation!
    }
    const { mtls } = config
    const { certificate } = parts
    const server = await createServer({
      broker,
      listen: { ...config.listen, admin: address.listen },
      keys: parts.keys,
      publisher,
      revocations,
      feed: transport,
      clients: clientsOf(config),
      admin: { url, routes: admin.routes },
      reports: admin.reports,
      proxies: config.proxies,
      ...(mtls === undefined || certificate === undefined
        ? {}
        : { mtls: { address: config.listen.mtls!, url: mtls.url, credentials: certificate } }),
      ...(ledger.kind === 'redis' ? { isSpent: spentIn(ledger, config.issuer) } : {}),
      checks: {
        trust: () => trustFault(parts.trust.bundles.health(), config.trust.issuers.length),
        ...(certificate === undefined ? {} : { certificate: () => certificate.fault(now()) }),
      },
      log,
      limits: {
        drainMs: config.shutdown.drainSeconds * 1000,
        feedStreams: config.revocation.followers,
        feedStreamsPerNetwork: config.revocation.followersPerNetwork,
      },
    })
    stack.defer(() => server.close())
    stack.defer(() => admin.endStreams())
    await address.release()
    await available(() => server.listen())
    const control = await configured(() =>
      openControl(controlPath(config.audit.directory), admin.local),
    )
    stack.defer(() => control.close())
    if (control.problem !== undefined) log.warn(control.problem)
    return {
      publicUrl: server.publicUrl,
      adminUrl: server.adminUrl,
      mtlsUrl: server.mtlsUrl,
      broker,
      ledger,
      revocations,
      controlPath: control.path,
      consoleUrl: url,
      firstLink: () => admin.firstLink(),
      revoke,
      // Side by side: a disk that hangs must not keep a new policy from serving.
      reload: async () => {
        await Promise.all([continueAudit(audit, log), reloadParts(config, parts, current, log)])
      },
      close: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

async function continueAudit(audit: AuditLog, log: Logger): Promise<void> {
  try {
    await audit.reopen()
    log.info(`the audit log goes on in ${audit.file}`)
  } catch (error) {
    log.error(`the audit log goes on where it was: ${messageOf(error)}`)
  }
}

const NO_AUDIT =
  'nothing is granted or changed any more; make room for it, then SIGHUP continues it in a new file'

/** Names this process' audit log: which broker, on which port. */
function originOf(config: Config): string {
  return `${new URL(config.issuer).hostname}-${config.listen.public.port}`
}
