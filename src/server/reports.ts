/**
 * `POST /reports`: what verifiers say of the tokens that came to them, and how far they have heard the
 * revocations. The form is in `sessions/report.ts`.
 *
 * Nothing here decides anything: what is believed goes into the book that people look at. An answer of
 * 200 means that it is kept, and the same report may be sent again, to any broker of the store.
 */
import type { Context } from 'koa'
import type { AuditSink } from '../audit/record.ts'
import { CLIENT_ALGORITHMS } from '../identity/client-assertion.ts'
import type { Documents } from '../ledger/documents.ts'
import type { SessionBook } from '../ledger/session-book.ts'
import type { JsonObject } from '../lib/json.ts'
import { Refusal, refuse } from '../refusal.ts'
import { createHolderKeeper } from '../sessions/holder-keeper.ts'
import {
  MAX_REPORT_BYTES,
  REPORT_MEDIA_TYPE,
  type ReportingClient,
  verifyReport,
} from '../sessions/report.ts'
import { localKeySet } from '../token/key-set.ts'
import { answerError, note } from './answer.ts'
import { takeBody } from './body.ts'
import { wireError } from './errors.ts'
import type { Client } from './parts.ts'
import type { Answer } from './routes.ts'

export interface ReportDesk {
  readonly clients: readonly Client[]
  readonly book: Pick<SessionBook, 'apply'>
  readonly documents: Pick<Documents, 'get' | 'create' | 'replace' | 'list'>
  readonly audit: AuditSink
  /** The broker's issuer URL, which reports are for. */
  readonly issuer: string
  /** Seconds since the epoch. */
  readonly clock?: () => number
}

const DOOR = 'reports'

/** The answer to `POST /reports`. */
export function reports(desk: ReportDesk): Answer {
  const { audit, issuer } = desk
  const clock = desk.clock ?? (() => Date.now() / 1000)
  const reporting = reportingClients(desk.clients)
  const holders = createHolderKeeper(desk.documents)

  return async (ctx) => {
    ctx.set('Cache-Control', 'no-store')
    const now = clock()
    try {
      const text = await receiveReport(ctx)
      const reporterOf = (clientId: string) => reporting.get(clientId)
      const report = verifyReport(text, { reporterOf, issuer, now })
      const { source, sequence, sessions } = report
      if (sessions.length > 0) await desk.book.apply(source, sequence, sessions)
      await holders.keep(report, now)
      ctx.body = { sequence }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const { reason } = error
      answerError(ctx, wireError(reason, { grant: 'token-exchange', token: 'session' }))
      // The answer is no already; a record that fails changes nothing for the caller.
      await note(audit, ctx, { door: DOOR, now, outcome: 'refused', reason }).catch(() => undefined)
    }
  }
}

function reportingClients(clients: readonly Client[]): ReadonlyMap<string, ReportingClient> {
  const known = new Map<string, ReportingClient>()
  for (const { clientId, jwks, scopes, resources } of clients) {
    if (!scopes.includes('writ:report')) continue
    const keys = localKeySet(jwks as unknown as JsonObject, CLIENT_ALGORITHMS)
    known.set(clientId, { clientId, keys, resources })
  }
  return known
}

/** @throws {Refusal} `request_malformed`, `request_too_large` */
async function receiveReport({ req }: Context): Promise<string> {
  if (req.headers['content-type'] !== REPORT_MEDIA_TYPE) {
    refuse({ code: 'request_malformed', detail: `expected ${REPORT_MEDIA_TYPE}` })
  }
  return (await takeBody(req, MAX_REPORT_BYTES)).toString('latin1')
}
