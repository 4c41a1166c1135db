import type { AuditRecord } from '../audit/record.ts'
import type { JsonObject } from '../lib/json.ts'
import { type Reason, Refusal } from '../refusal.ts'
import { Revocations } from '../revocation/revocations.ts'
import { createTokenVerifier, MAX_LIFETIME_SECONDS } from '../token/access-token.ts'
import { authInfoOf } from './auth-info.ts'
import { certificatesOf } from './certificates.ts'
import { answerTo, answerToRefusal, responseTo, UNEXPECTED } from './challenge.ts'
import { type Examination, examine, neededScope, type Parts } from './check.ts'
import { doorsOf } from './doors.ts'
import { metadataOf } from './metadata.ts'
import { boundOf, feedOf, keysOf, parseUrl, sinkOf, type VerifierOptions } from './options.ts'
import { createReporter } from './reporter.ts'
import type { Allowed, GateRequest, Headers, Outcome, Refused } from './request.ts'
import { LegacySessions } from './sessions.ts'
import { OpenStreams } from './streams.ts'
import { subjectOf } from './subject.ts'
import { toldOf } from './told.ts'
import { recordOf } from './trail.ts'

/** Arguments may be 1 MiB; the rest is for the message around them. */
const DEFAULT_MAX_BODY_BYTES = 1024 * 1024 + 64 * 1024

const MOST_BODY_BYTES = 64 * 1024 * 1024

const DEFAULT_STALE_AFTER_MS = 1000
/** No token lives longer, so a longer silence would hide every revocation. */
const MOST_STALE_AFTER_MS = MAX_LIFETIME_SECONDS * 1000
/** A start that failed is not tried more often for requests, which anyone can send. */
const START_AGAIN_AFTER_MS = 1000

/** Answers one question: is there a good token for exactly this request? */
export interface Verifier {
  readonly resource: string
  /** Where RFC 9728 metadata is looked for first; gates answer it. */
  readonly metadataPath: string
  readonly maxBodyBytes: number
  /** Whether gates have to say which certificate a request was made with. */
  readonly certificates: boolean
  /**
   * Resolves when keys, store and revocation feed are there; rejects saying what is not. Until it
   * has resolved every request is refused.
   */
  ready(): Promise<void>
  /** Never rejects: whatever goes wrong is a refusal. */
  check(request: GateRequest): Promise<Outcome>
  /** Protected resource metadata (RFC 9728 §2). */
  metadata(): JsonObject
  /** The metadata when `method` and `path` ask for it, at its own path or at the root. */
  metadataFor(method: string, path: string): JsonObject | undefined
  /** Ends open streams and lets go of keys, feed and file; the ledger is its owner's to close. */
  close(): Promise<void>
}

/** @throws {TypeError} on options that cannot be right */
export function createVerifier(options: VerifierOptions): Verifier {
  const { issuer, resource, ledger } = options
  const resourceUrl = parseUrl('resource', resource)
  parseUrl('issuer', issuer)
  if (typeof ledger?.spend !== 'function') throw new TypeError('ledger: required')
  const clock = options.clock ?? (() => Date.now() / 1000)
  const staleAfterMs = boundOf(
    'staleAfterMs',
    options.staleAfterMs,
    DEFAULT_STALE_AFTER_MS,
    MOST_STALE_AFTER_MS,
  )
  const certificates = certificatesOf(options)
  const metadata = metadataOf(resource, issuer, certificates.accepted)
  const told = toldOf(options)
  const sink = sinkOf(options.audit)
  const keys = keysOf(options)
  const transport = feedOf(options)
  const revocations = new Revocations({
    keys: keys.source,
    issuer,
    transport,
    staleAfterMs,
    clock,
    // The store's own feed tells it by itself in which epochs it may be trusted.
    onEpochs: (epochs) => transport !== ledger.feed && ledger.learn?.(epochs),
  })
  const reporter =
    options.reports && createReporter(options.reports, { issuer, resource, revocations, clock })
  const streams = new OpenStreams(clock, Math.max(50, staleAfterMs / 4))
  const sessions = new LegacySessions()
  const parts: Parts = {
    issuer,
    resource,
    maxBodyBytes: boundOf(
      'maxBodyBytes',
      options.maxBodyBytes,
      DEFAULT_MAX_BODY_BYTES,
      MOST_BODY_BYTES,
    ),
    doors: doorsOf(resourceUrl, options),
    told,
    tokens: createTokenVerifier({ issuer, audience: resource, keys: keys.source }),
    certificates,
    sessions,
    revocations,
    ledger,
  }

  let starting: Promise<void> | undefined
  let failedAtMs = Number.NEGATIVE_INFINITY
  function ready(): Promise<void> {
    starting ??= start().catch((error: unknown) => {
      starting = undefined
      failedAtMs = performance.now()
      throw error
    })
    return starting
  }
  async function start(): Promise<void> {
    await Promise.all([
      told.read(),
      keys.ready(),
      reporter?.start(),
      // The store's own feed needs its connections.
      ledger.open().then(() => revocations.start()),
    ])
  }

  async function check(request: GateRequest): Promise<Outcome> {
    // Nobody waits for this here: until all that a check needs is there, every answer is a refusal.
    if (starting === undefined && performance.now() - failedAtMs >= START_AGAIN_AFTER_MS) {
      ready().catch(() => {})
    }
    const exam: Examination = { request, now: clock() }
    try {
      await examine(exam, parts)
      await record(exam)
      return allowed(exam)
    } catch (error) {
      return await refused(exam, error)
    }
  }

  /** @throws {Refusal} audit_unavailable: what cannot be recorded does not run */
  async function record(
    exam: Examination,
    reason?: Reason | { code: 'unexpected' },
  ): Promise<void> {
    const entry = recordOf(exam, resource, reason)
    // What is to be allowed counts once it is recorded; a refusal is one either way.
    if (reason !== undefined) report(exam, entry)
    try {
      await sink.record(entry)
    } catch (cause) {
      throw new Refusal({ code: 'audit_unavailable', detail: 'the sink rejected' }, { cause })
    }
    if (reason === undefined) report(exam, entry)
  }

  /** Whose a request was is known from a verified token alone. */
  function report({ token, now }: Examination, entry: AuditRecord): void {
    if (token !== undefined) reporter?.note(entry, token.claims, now)
  }

  function allowed({ request, message, demand, token, now }: Examination): Allowed {
    if (token === undefined) throw new Error('allowed without a token')
    const { claims, expiresAt } = token
    const watched =
      demand?.token === 'session' && demand.stream
        ? streams.watch((later) => {
            revocations.check(subjectOf(token), later)
            return later < expiresAt
          })
        : undefined
    return {
      allowed: true,
      message,
      authInfo: authInfoOf(claims, { resource, metadataUrl: metadata.url }),
      headers: freshNonce(now),
      unbelieved: certificates.unbelieved(request),
      closing: watched?.closing,
      issuedSession: (id) => {
        if (message?.method === 'initialize') sessions.remember(id, claims.sid)
      },
      ended: () => watched?.ended(),
    }
  }

  async function refused(exam: Examination, error: unknown): Promise<Refused> {
    const expected = error instanceof Refusal ? error : undefined
    let answer = expected === undefined ? UNEXPECTED : answerToRefusal(expected)
    try {
      await record(exam, expected?.reason ?? { code: 'unexpected' })
    } catch {
      // An operator who cannot see refusals has to notice; the request is refused either way.
      answer = answerTo({ code: 'audit_unavailable', detail: '' })
    }
    return responseTo(answer, {
      metadataUrl: metadata.url,
      scope: exam.demand === undefined ? undefined : neededScope(exam.demand),
      headers: freshNonce(exam.now),
      id: exam.message?.kind === 'request' ? exam.message.id : undefined,
    })
  }

  function freshNonce(now: number): Headers {
    return told.nonces === undefined ? [] : [['dpop-nonce', told.nonces.issue(now)]]
  }

  return {
    resource,
    metadataPath: metadata.path,
    maxBodyBytes: parts.maxBodyBytes,
    certificates: certificates.accepted,
    ready,
    check,
    metadata: () => metadata.document,
    metadataFor: (method, path) =>
      method === 'GET' && (path === metadata.path || path === metadata.rootPath)
        ? metadata.document
        : undefined,
    async close() {
      streams.close()
      await reporter?.close()
      keys.close()
      await revocations.close()
      await sink.close()
    },
  }
}
