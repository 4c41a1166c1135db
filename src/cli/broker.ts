/**
 * Wires one broker together: configuration → open parts → a listening server. The only place that
 * knows every part. Parts are opened in the order in which they need each other and closed in the
 * opposite order, also when a later one fails to open.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger, pino } from 'pino'
import { openAuditLog } from '../audit/file.ts'
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { Config } from '../config/config.ts'
import type { Broker } from '../exchange/broker.ts'
import { createSenderKeys } from '../identity/sender-keys.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { JsonObject } from '../lib/json.ts'
import type { RevocationRequest } from '../revocation/publisher.ts'
import type { Revocations } from '../revocation/revocations.ts'
import { parseTarget, type Revocation } from '../revocation/target.ts'
import { revocationRecord } from '../server/revocation-record.ts'
import { type BrokerParts, createServer } from '../server/server.ts'
import { PROOF_MAX_AHEAD_SECONDS } from '../token/dpop.ts'
import { spendIdOf } from '../token/spend-id.ts'
import { clientsOf, openAdminSide } from './admin-side.ts'
import { openParts, type Parts, reloadParts } from './broker-parts.ts'
import { controlPath, openControl } from './control.ts'
import { openFeed } from './feed.ts'
import { trustFault } from './readiness.ts'
import { available, configured } from './settings.ts'
import { openLedger } from './store.ts'

export interface RunningBroker {
  readonly publicUrl: string
  readonly adminUrl: string
  /** Undefined without an mTLS listener. */
  readonly mtlsUrl: string | undefined
  readonly broker: Broker
  readonly ledger: Ledger
  readonly revocations: Revocations
  /** The socket that commands on this host use; undefined when another broker answers there. */
  readonly controlPath: string | undefined
  /** Where people sign in. */
  readonly consoleUrl: string
  /** A link with which the first person enrols a passkey; undefined when somebody has. */
  firstLink(): Promise<string | undefined>
  /** Durable, audited, and in force everywhere within the bound when resolved. */
  revoke(request: RevocationRequest): Promise<Revocation>
  /** Reads keys, bundles, catalogue and policies again; what is wrong is logged, the old serves on. */
  reload(): Promise<void>
  /** Stops listening, finishes what is in flight, flushes the audit, closes the store. */
  close(): Promise<void>
}

/** Longer only if a clock is wrong; then proofs are refused, which says so better than no start. */
const MAX_WAIT_SECONDS = 15

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
      openAuditLog({ directory: config.audit.directory, origin: originOf(config) }),
    )
    stack.defer(() => audit.close())
    const ledger = await configured(async () => openLedger(config))
    stack.defer(() => ledger.close())
    await available(() => ledger.open())
    await proofsCount(ledger, log)
    const transport = ledger.feed
    if (transport === undefined) throw new Error('the store of a broker carries the revocations')
    const feed = await openFeed(config, { transport, keys: parts.keys, log }, stack)
    const { publisher, revocations } = feed

    const current = { catalogue: parts.catalogue }
    const health = () => server.readiness()
    const needs = { parts, current, ledger, feed, audit, log, health }
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
      listen: config.listen,
      keys: parts.keys,
      publisher,
      revocations,
      feed: transport,
      clients: clientsOf(config),
      admin: { url: admin.url, routes: admin.routes },
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
      limits: { drainMs: config.shutdown.drainSeconds * 1000 },
    })
    stack.defer(() => server.close())
    stack.defer(() => admin.endStreams())
    await available(() => server.listen())
    const control = await openControl(
      controlPath(config.audit.directory),
      {
        revocations: async (body) => {
          const { target, ...revocation } = await revoke(parseRequest(body))
          return { revocation: { ...revocation, target: { ...target } } }
        },
      },
      admin.local,
    )
    stack.defer(() => control.close())
    return {
      publicUrl: server.publicUrl,
      adminUrl: server.adminUrl,
      mtlsUrl: server.mtlsUrl,
      broker,
      ledger,
      revocations,
      controlPath: control.path,
      consoleUrl: admin.url,
      firstLink: () => admin.firstLink(),
      revoke,
      reload: () => reloadParts(config, parts, current, log),
      close: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

function brokerOf(
  config: Config,
  parts: Parts,
  live: {
    ledger: Ledger
    revocations: Revocations
    audit: Broker['audit']
    current: { catalogue: Catalogue }
    sessions: NonNullable<Broker['sessions']>
  },
  onStep: Broker['onStep'],
): Broker {
  return {
    issuer: config.issuer,
    tokenEndpoint: `${config.issuer}/token`,
    nonces: parts.nonces,
    prover: parts.trust.prover,
    senderKeys: createSenderKeys({
      ledger: live.ledger,
      onSecondKey: config.identity.onSecondKey,
    }),
    ledger: live.ledger,
    revocations: live.revocations,
    get catalogue() {
      return live.current.catalogue
    },
    policies: parts.policies,
    audit: live.audit,
    signingKey: (at) => parts.keys.current(at),
    lifetimes: {
      actionSeconds: config.tokens.lifetimeSeconds,
      sessionSeconds: config.tokens.sessionLifetimeSeconds,
    },
    delegation: { ...config.delegation, keys: (at) => parts.keys.verification(at) },
    issuerUrls: parts.trust.issuerUrls,
    recordArguments: config.audit.arguments,
    sessions: live.sessions,
    ...(onStep === undefined ? {} : { onStep }),
  }
}

/** In a store that the verifiers share; what is in another one, nobody here can know. */
function spentIn(ledger: Ledger, issuer: string): NonNullable<BrokerParts['isSpent']> {
  return async ({ aud, jti, iat }) => {
    const resource = String(aud)
    const id = spendIdOf({ issuer, resource, jti: String(jti) })
    // What the store may have forgotten is honoured by no verifier.
    if (!(Number(iat) >= ledger.honoursFrom(id))) return true
    return ledger.isSpent(id, resource)
  }
}

function parseRequest(body: JsonObject): RevocationRequest {
  const { target, until, reason, by } = body
  return {
    target: parseTarget(target),
    ...(typeof until === 'number' ? { until } : {}),
    reason: typeof reason === 'string' ? reason : '',
    by: typeof by === 'string' ? by : 'cli',
  }
}

/**
 * A store that has only just begun, or has lost something, refuses every proof that may have been
 * made before: those of the next seconds, as a sender's clock may be ahead. “Ready” means that the
 * proof of an honest agent counts, so a broker waits for that; once in the life of an SQLite file.
 */
async function proofsCount(ledger: Ledger, log: Logger): Promise<void> {
  const countsFrom =
    (await available(async () => ledger.honoursFrom('p:'))) + PROOF_MAX_AHEAD_SECONDS
  const waitSeconds = countsFrom - now()
  if (waitSeconds <= 0) return
  log.info(
    `the store is new; ready in ${Math.ceil(waitSeconds)} s, when no earlier proof can count`,
  )
  await sleep(Math.min(waitSeconds, MAX_WAIT_SECONDS) * 1000)
}

/** Names this process' audit log: which broker, on which port. */
function originOf(config: Config): string {
  return `${new URL(config.issuer).hostname}-${config.listen.public.port}`
}
