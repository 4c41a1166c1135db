/**
 * A client of the SPIFFE Workload API: who this process is, and whom it may trust, as it changes.
 *
 * A stream is opened when somebody first asks for what it carries, and then followed until `close`.
 */
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js'
import { createBackoff } from './backoff.ts'
import { parseEndpoint } from './endpoint.ts'
import { SpiffeError } from './error.ts'
import { type Follower, followStream } from './follow.ts'
import { type JwtSvid, JwtSvids } from './jwt-svids.ts'
import { Latest } from './latest.ts'
import { readJwtBundles, readX509Bundles, readX509Context } from './messages.ts'
import {
  type BundlesResponse,
  callMetadata,
  channelOptions,
  type JwtSvidResponse,
  method,
  type StreamMethod,
  type X509SvidResponse,
} from './protocol.ts'
import type { X509Source } from './source.ts'
import { apiError, verdictOf } from './status.ts'
import type { X509Context } from './x509-context.ts'

export interface WorkloadApiOptions {
  /** `unix:///path` or `tcp://ip:port`; `SPIFFE_ENDPOINT_SOCKET` of the environment by default. */
  readonly socket?: string
  /** Told in words about everything an operator should know; never with a key in it. */
  readonly onProblem?: ProblemListener
  /** How long a caller waits for what has not come yet; 30 s by default. */
  readonly waitMs?: number
  /** The first wait before asking again (250 ms), and the longest (15 s). */
  readonly backoffMs?: { readonly first: number; readonly longest: number }
}

/** How long a new JWT-SVID may take while the old one can still be used. */
const IMPATIENT_MS = 2_000

/** By the name of the trust domain; each call has the whole state, which replaces the one before. */
export type BundlesListener<Bundle> = (bundles: ReadonlyMap<string, Bundle>) => void
export type ProblemListener = (error: SpiffeError) => void

export interface WorkloadApi extends X509Source {
  /**
   * A JWT-SVID for one audience; kept until half of its life is over, or 30 s before its end if that
   * is sooner.
   *
   * @throws {SpiffeError} `identity_denied`, `api_unavailable` after `waitMs`; `api_refused`;
   *   `identity_invalid`, `identity_expired`; `closed`
   */
  jwtSvid(audience: string, options?: { readonly spiffeId?: string }): Promise<JwtSvid>
  /** DER authorities for X.509-SVIDs. An empty map: the endpoint gives us none. */
  onX509Bundles(
    listener: BundlesListener<readonly Uint8Array[]>,
    onProblem?: ProblemListener,
  ): () => void
  /** JWK Sets for JWT-SVIDs, as received. An empty map: the endpoint gives us none. */
  onJwtBundles(listener: BundlesListener<Uint8Array>, onProblem?: ProblemListener): () => void
  /** Ends all streams; whoever still waits is told `closed`. */
  close(): void
}

/**
 * @throws {SpiffeError} `socket_invalid`. That nothing answers there is no error yet: it may start later
 */
export function openWorkloadApi(options: WorkloadApiOptions = {}): WorkloadApi {
  const { address, target } = parseEndpoint(options.socket)
  const { first, longest } = options.backoffMs ?? { first: 250, longest: 15_000 }
  const waitMs = options.waitMs ?? 30_000
  const client = new Client(target, credentials.createInsecure(), channelOptions(first, longest))
  const report: ProblemListener = options.onProblem ?? (() => {})
  const streams = new Map<StreamMethod, { close(): void }>()
  const closing = new AbortController()

  /** Follows a stream from the first call on. */
  function follow<Message, Value>(
    name: StreamMethod,
    read: (message: Message) => Value,
    withdrawn: Value | undefined,
  ): () => Latest<Value> {
    const latest = new Latest<Value>(waitMs)
    const follower: Follower<Message> = {
      onMessage: (message) => latest.set(read(message)),
      onDenied(error) {
        latest.explain(error)
        latest.set(withdrawn)
        report(error)
      },
      onProblem(error) {
        latest.explain(error)
        report(error)
      },
      onFatal(error) {
        latest.fail(error)
        report(error)
      },
    }
    closing.signal.addEventListener('abort', () => latest.fail(closed()))
    return () => {
      if (!streams.has(name) && !closing.signal.aborted) {
        const backoff = createBackoff(first, longest)
        streams.set(name, followStream({ client, address, backoff }, name, follower))
      }
      return latest
    }
  }

  const x509 = follow('FetchX509SVID', readContext, undefined)
  const x509Bundles = follow(
    'FetchX509Bundles',
    ({ bundles }: BundlesResponse) => readX509Bundles(bundles),
    new Map(),
  )
  const jwtBundles = follow(
    'FetchJWTBundles',
    ({ bundles }: BundlesResponse) => readJwtBundles(bundles),
    new Map(),
  )

  function readContext(message: X509SvidResponse): X509Context {
    const context = readX509Context(message, Date.now() / 1000)
    for (const problem of context.problems) report(new SpiffeError('identity_invalid', problem))
    return context
  }

  /** Asks until there is an answer, or until a caller has waited long enough. */
  async function fetchJwtSvid(
    audience: string,
    spiffeId: string | undefined,
    patient: boolean,
  ): Promise<JwtSvidResponse> {
    const until = Date.now() + (patient ? waitMs : Math.min(waitMs, IMPATIENT_MS))
    const backoff = createBackoff(first, longest)
    let before: SpiffeError | undefined
    for (;;) {
      if (closing.signal.aborted) throw closed()
      const answer = await callOnce(audience, spiffeId, until)
      if (!('code' in answer)) return answer
      if (closing.signal.aborted) throw closed()
      // That our own time is over says less than what it was spent on.
      const problem =
        answer.code === status.DEADLINE_EXCEEDED && before !== undefined
          ? before
          : apiError(answer, address)
      before = problem
      const pauseMs = backoff.next()
      if (!patient || verdictOf(answer) === 'fatal' || Date.now() + pauseMs >= until) throw problem
      report(problem)
      await pause(pauseMs, closing.signal)
    }
  }

  async function callOnce(
    audience: string,
    spiffeId: string | undefined,
    deadline: number,
  ): Promise<JwtSvidResponse | ServiceError> {
    const { path, requestSerialize, responseDeserialize } = method<object, JwtSvidResponse>(
      'FetchJWTSVID',
    )
    const request = { audience: [audience], spiffe_id: spiffeId ?? '' }
    return await new Promise((resolve) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        callMetadata(),
        { deadline },
        (error, answer) => resolve(error ?? answer ?? { svids: [] }),
      )
    })
  }

  const jwtSvids = new JwtSvids({ fetch: fetchJwtSvid, onProblem: report })

  return {
    x509: async () => await x509().get(),
    onX509: (listener) => x509().listen(listener),
    jwtSvid: async (audience, { spiffeId } = {}) => {
      if (closing.signal.aborted) throw closed()
      return await jwtSvids.get(audience, spiffeId)
    },
    onX509Bundles: (listener, problem) =>
      x509Bundles().listen((bundles) => listener(bundles ?? new Map()), problem),
    onJwtBundles: (listener, problem) =>
      jwtBundles().listen((bundles) => listener(bundles ?? new Map()), problem),
    close() {
      for (const stream of streams.values()) stream.close()
      closing.abort()
      client.close()
    },
  }
}

function closed(): SpiffeError {
  return new SpiffeError('closed', 'the Workload API client has been closed')
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
  })
}
