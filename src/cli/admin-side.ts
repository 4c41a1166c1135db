/**
 * Puts the admin side of a broker together: who may sign in, what they see and stop, and the book of
 * sessions that it is made of. It is served on the admin listener and, for commands on this host, on
 * the control socket.
 */
import type { RequestListener } from 'node:http'
import Koa, { type Middleware } from 'koa'
import type { Logger } from 'pino'
import { type AdminApi, createAdminApi } from '../admin/api.ts'
import { consoleFiles } from '../admin/console-files.ts'
import type { Readiness } from '../admin/parts.ts'
import type { AuditSink } from '../audit/record.ts'
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { Config } from '../config/config.ts'
import type { Broker } from '../exchange/broker.ts'
import type { Documents } from '../ledger/documents.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { SessionBook } from '../ledger/session-book.ts'
import { type History, openHistory } from '../revocation/history.ts'
import { reports } from '../server/reports.ts'
import { createHolders } from '../sessions/holders.ts'
import { createSessionRecorder } from '../sessions/recorder.ts'
import { createSignIn } from '../sign-in/sign-in.ts'
import type { Parts } from './broker-parts.ts'
import { ISSUER_HEADER, localAdmin } from './control.ts'
import type { Feed } from './feed.ts'
import { messageOf } from './text.ts'

export interface AdminSide {
  /** One after the other, each for what the ones before it left. */
  readonly routes: readonly Middleware[]
  /** `POST /reports`, on the public listener. */
  readonly reports: ReturnType<typeof reports>
  /** The same API for whoever may open the control socket. */
  readonly local: RequestListener
  readonly sessions: NonNullable<Broker['sessions']>
  readonly history: History
  /** Where the first person enrols; undefined when somebody can sign in already. */
  firstLink(): Promise<string | undefined>
  /** Before the listener closes, which waits for what is still being answered. */
  endStreams(): void
}

export interface AdminNeeds {
  /** The admin listener as browsers reach it. */
  readonly url: string
  readonly parts: Parts
  readonly current: { readonly catalogue: Catalogue }
  readonly ledger: Ledger
  readonly feed: Feed
  readonly audit: AuditSink
  readonly log: Logger
  readonly health: () => Promise<Readiness>
}

/** @throws {Error} when people could not sign in at the configured address */
export async function openAdminSide(
  config: Config,
  needs: AdminNeeds,
  stack: AsyncDisposableStack,
): Promise<AdminSide> {
  const { url, parts, ledger, feed, audit, log } = needs
  const { documents, book } = keptIn(ledger)
  const { publisher, revocations } = feed
  const { clients, issuer } = config
  const { origin } = publisher
  const failed = (what: string) => (error: unknown) => log.error(`${what}: ${messageOf(error)}`)

  const recorder = createSessionRecorder({ book, origin, onError: failed('sessions') })
  stack.defer(() => recorder.close().catch(failed('sessions are not all on record')))
  const holders = createHolders({ documents, revocations, origin, onError: failed('holders') })
  stack.defer(() => holders.close())
  const history = openHistory({
    ...{ documents, publisher, revocations },
    onError: failed('the history of revocations'),
  })
  stack.defer(() => history.close())
  feed.onEntry = (entry) => history.hear(entry)
  // In the background: there may be very many, and what is stopped is stopped all the same.
  void history.repair()

  const signIn = await createSignIn({
    ...{ url, documents, ledger, audit, issuer, clients, log, revocations, keys: parts.keys },
    rpName: config.admin.name,
    idleSeconds: config.admin.idleSeconds,
    absoluteSeconds: config.admin.absoluteSeconds,
  })
  const closing = new AbortController()
  const api = createAdminApi({
    ...{ url, signIn, history, holders, revocations, audit, documents, log },
    sessions: book,
    policies: parts.policies,
    policyDirectory: config.policies,
    catalogue: () => needs.current.catalogue,
    trust: { bundles: parts.trust.bundles, issuers: trustedIssuers(config) },
    keys: parts.keys,
    auditDirectory: config.audit.directory,
    health: needs.health,
    closing: closing.signal,
  })
  return {
    routes: [signIn.routes, api, consoleFiles({ url })],
    reports: reports({ ...{ clients: clientsOf(config), book, documents, audit, issuer } }),
    local: forLocal(api, issuer),
    sessions: recorder,
    history,
    firstLink: () => signIn.firstLink(),
    endStreams: () => closing.abort(),
  }
}

/** The API for those who can open the socket and mean this broker, and nothing besides. */
export function forLocal(api: AdminApi, issuer: string): RequestListener {
  return new Koa()
    .use((ctx, next) => {
      const meant = ctx.get(ISSUER_HEADER)
      if (meant === '' || meant === issuer) return next()
      ctx.status = 421
      ctx.body = {
        code: 'misdirected',
        title: 'Another broker answers here',
        status: 421,
        detail: `it is that of ${issuer}; each needs an audit directory of its own`,
      }
      ctx.type = 'application/problem+json'
    })
    .use(api.as(async (ctx) => localAdmin(ctx.req)))
    .callback() as RequestListener
}

function keptIn({ documents, sessions }: Ledger): { documents: Documents; book: SessionBook } {
  if (documents === undefined || sessions === undefined) {
    throw new Error('the store of a broker keeps documents and sessions')
  }
  return { documents, book: sessions }
}

/** Clients as the HTTP side wants them: without a member where nothing is configured. */
export function clientsOf(config: Config) {
  return config.clients.map(({ workload, ...client }) =>
    workload === undefined ? client : { ...client, workload },
  )
}

function trustedIssuers({ trust }: Config) {
  const of = (vouchesFor: 'workloads' | 'users') => (each: { alias: string; issuer: string }) => ({
    ...{ alias: each.alias, url: each.issuer, vouchesFor },
  })
  return [...trust.issuers.map(of('workloads')), ...trust.users.map(of('users'))]
}
