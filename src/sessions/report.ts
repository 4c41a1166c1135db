/**
 * What a verifier tells its broker: how tokens fared in its hands, and how far it has heard the
 * revocations. A JWS of its own type, signed with the key of a registered client.
 *
 * The format holds only what a verifier is believed to say. What was issued, and how anybody proved who
 * they are, is the broker's to know, and has no place in it.
 */
import type { SessionUpdate } from '../ledger/session-book.ts'
import { encodeBase64url } from '../lib/base64url.ts'
import type { JsonObject } from '../lib/json.ts'
import { randomId } from '../lib/random-id.ts'
import { Refusal, type ReportCheck, refuse } from '../refusal.ts'
import { isJti, isName } from '../token/claim-check.ts'
import { hashStrings } from '../token/hash-strings.ts'
import {
  type Jws,
  JwsError,
  parseJws,
  type SigningKey,
  signSegments,
  verifyJws,
} from '../token/jws.ts'
import type { LocalKeySet } from '../token/key-set.ts'
import { MAX_AHEAD_SECONDS, type ReportedSession, readSessions } from './reported.ts'

// Verifiers know this file of the folder and no other.
export { Gathering, type Noted } from './gathering.ts'
export { type ReportedSession, reportedOf } from './reported.ts'
export type { SessionUpdate }

export const REPORT_TYPE = 'writ-report+jwt'
export const REPORT_MEDIA_TYPE = 'application/jwt'
/** Of a whole report as it is sent; fewer than a thousand sessions fit. */
export const MAX_REPORT_BYTES = 256 * 1024
/** What is left for sessions: base64url takes four characters for three bytes, and there is a head. */
export const MAX_SESSIONS_BYTES = (MAX_REPORT_BYTES / 4) * 3 - 32 * 1024

const MAX_AGE_SECONDS = 300
/** As many as a holder tells apart. */
const MAX_ORIGINS = 256
const HOLDER = /^[A-Za-z0-9_.-]{8,64}$/
const SOURCE_CLIENT = /^[\x21-\x7e]{1,190}$/
const ORIGIN = /^[\x21-\x7e]{1,64}$/

export const HOLDER_KINDS = ['verifier', 'gateway'] as const
export type HolderKind = (typeof HOLDER_KINDS)[number]

/** How far a holder of the feed has heard. */
export interface Hearing {
  /** The time of the last good heartbeat of each origin, seconds since the epoch. */
  readonly heard: Readonly<Record<string, number>>
  /** Whether that is recent enough for it to let anything through. */
  readonly fresh: boolean
}

export interface Report {
  /** The resource URI of the MCP server it is about. */
  readonly resource: string
  /** One running process: another id after each start, because sequences begin again. */
  readonly holder: string
  readonly kind: HolderKind
  /** Goes up with each batch of a holder. Without sessions it is that of the last batch, 0 before any. */
  readonly sequence: number
  /** Undefined in what a process left behind when it ended: it hears no more. */
  readonly hearing?: Hearing | undefined
  /** How many outcomes this process has not been able to count. */
  readonly lost: number
  readonly sessions: readonly ReportedSession[]
}

export interface Signing {
  readonly clientId: string
  readonly key: Pick<SigningKey, 'algorithm' | 'key'> & { readonly kid: string | undefined }
  /** The broker's issuer URL. */
  readonly issuer: string
  /** Seconds since the epoch. */
  readonly now: number
}

/** Signed anew each time it is sent: the sessions of a sequence stay, the time is that of sending. */
export function signReport(report: Report, { clientId, key, issuer, now }: Signing): string {
  const { hearing, sessions, ...rest } = report
  const payload = {
    iss: clientId,
    aud: issuer,
    jti: randomId(),
    iat: now,
    ...rest,
    ...hearing,
    sessions,
  }
  const header = { typ: REPORT_TYPE, alg: key.algorithm, kid: key.kid }
  return signSegments(
    encodeBase64url(JSON.stringify(header)),
    payload as unknown as JsonObject,
    key,
  )
}

/** A client, as far as reports go. */
export interface ReportingClient {
  readonly clientId: string
  readonly keys: LocalKeySet
  /** The resources about which it may report. */
  readonly resources: readonly string[]
}

export interface VerifiedReport extends Omit<Report, 'sessions'> {
  readonly clientId: string
  /** When it was signed, seconds since the epoch. */
  readonly at: number
  /** Which process of which client says so. */
  readonly source: string
  /** As the book takes them. */
  readonly sessions: readonly SessionUpdate[]
}

/**
 * @param options.reporterOf the client with this id, when it may report at all
 * @throws {Refusal} `report_rejected`
 */
export function verifyReport(
  text: string,
  options: {
    readonly reporterOf: (clientId: string) => ReportingClient | undefined
    readonly issuer: string
    readonly now: number
  },
): VerifiedReport {
  const { issuer, now } = options
  const jws = parse(text)
  const { header, payload } = jws
  if (header.typ !== REPORT_TYPE) reject('typ')
  const reporter = isName(payload.iss) ? options.reporterOf(payload.iss) : undefined
  if (reporter === undefined) reject('client')
  const { kid, alg } = header
  const key = reporter.keys.find(kid as string | undefined, String(alg))
  if (key === undefined || !verifyJws(jws, key)) reject('signature')

  // Who says it is known from here on.
  if (payload.aud !== issuer) reject('audience')
  const { iat: at, resource } = payload
  if (typeof at !== 'number' || at < now - MAX_AGE_SECONDS || at > now + MAX_AHEAD_SECONDS) {
    reject('time')
  }
  if (Object.keys(payload).some((name) => !MEMBERS.has(name)) || !isJti(payload.jti)) reject('form')
  if (typeof resource !== 'string' || !reporter.resources.includes(resource)) reject('resource')
  const { holder, kind, lost, hearing } = readHolder(payload, now)
  const { clientId } = reporter
  const source = sourceOf(clientId, holder)
  const sessions = readSessions(payload.sessions, { resource, by: source, now })
  if (sessions === undefined) reject('sessions')
  const { sequence } = payload
  if (!isCount(sequence) || (sequence === 0 && sessions.length > 0)) reject('sequence')
  return { clientId, source, at, resource, holder, kind, sequence, hearing, lost, sessions }
}

/** A client's id may be longer than what a book takes, and hold anything. No holder has a slash in it. */
function sourceOf(clientId: string, holder: string): string {
  const plain = SOURCE_CLIENT.test(clientId)
  return `${plain ? clientId : `client:${hashStrings([clientId])}`}/${holder}`
}

const MEMBERS = new Set(
  'iss aud jti iat resource holder kind sequence heard fresh lost sessions'.split(' '),
)

function readHolder(
  payload: JsonObject,
  now: number,
): Pick<Report, 'holder' | 'kind' | 'lost' | 'hearing'> {
  const { holder, lost, heard, fresh } = payload
  const kind = HOLDER_KINDS.find((name) => name === payload.kind)
  if (typeof holder !== 'string' || !HOLDER.test(holder) || kind === undefined) reject('holder')
  if (!isCount(lost)) reject('holder')
  if (heard === undefined && fresh === undefined) return { holder, kind, lost, hearing: undefined }
  if (!isHeard(heard, now) || typeof fresh !== 'boolean') reject('holder')
  return { holder, kind, lost, hearing: { heard, fresh } }
}

/** It says only something about the holder itself; still it must be something that can be so. */
function isHeard(value: unknown, now: number): value is Readonly<Record<string, number>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const entries = Object.entries(value)
  return (
    entries.length <= MAX_ORIGINS &&
    entries.every(
      ([origin, at]) =>
        ORIGIN.test(origin) && typeof at === 'number' && at >= 0 && at <= now + MAX_AHEAD_SECONDS,
    )
  )
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function parse(text: string): Jws {
  let jws: Jws
  try {
    jws = parseJws(text, { maxBytes: MAX_REPORT_BYTES })
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    const check = error.check === 'algorithm' ? 'algorithm' : 'form'
    throw new Refusal({ code: 'report_rejected', check }, { cause: error })
  }
  const { typ, alg, kid, ...others } = jws.header
  if (Object.keys(others).length > 0) reject('form')
  if (kid !== undefined && typeof kid !== 'string') reject('form')
  return jws
}

function reject(check: ReportCheck): never {
  refuse({ code: 'report_rejected', check })
}
