/**
 * The admin API for commands: over the control socket of the broker that runs here, or over HTTP with a
 * saved sign-in. What it refuses becomes a CliError that says what to do.
 */
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Problem } from '../admin/schemas.ts'
import { makeProof } from '../token/proof.ts'
import { problemError, readProblem } from './admin-problem.ts'
import { CliError } from './answer.ts'
import { ISSUER_HEADER, USER_HEADER, userName } from './control.ts'
import { type HttpAnswer, type HttpRequest, send } from './http.ts'
import { showPrompt } from './login.ts'
import type { SavedLogin } from './saved-login.ts'

export type Query = Readonly<Record<string, string | number | undefined>>

/** What an answer has to look like; those of `admin/schemas.ts` are such. */
export interface Schema<T> {
  safeParse(
    json: unknown,
  ): { readonly success: true; readonly data: T } | { readonly success: false }
}

export interface AdminClient {
  /** `broker`: the one that runs here; `url`: one that somebody is signed in to. */
  readonly through: 'broker' | 'url'
  /** For people. */
  readonly where: string
  /** @throws {CliError} */
  get<T>(
    path: string,
    schema: Schema<T>,
    query?: Query,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<T>
  /** A changing request is done once, however often it has to be sent. @throws {CliError} */
  post<T>(
    path: string,
    schema: Schema<T>,
    body: object,
    options?: {
      readonly key?: string
      /** Gives up: for a question that something else waits for. */
      readonly signal?: AbortSignal
    },
  ): Promise<T>
  /** A stream of server-sent events. @throws {CliError} */
  stream(
    path: string,
    options: { readonly lastEventId?: string | undefined; readonly signal: AbortSignal },
  ): Promise<IncomingMessage>
}

/** How long a request that is being worked on elsewhere, or came too often, is sent again. */
const PATIENCE_MS = 30_000

/** One request, with whatever says who asks. */
type Ask = (request: Omit<HttpRequest, 'url' | 'socket'> & { path: string }) => Promise<HttpAnswer>

/** @param issuer of the broker that is meant: no other answers */
export function clientOnSocket(socket: string, issuer?: string): AdminClient {
  const who = {
    // In a header letters of other scripts cannot stand; the broker then names the user it runs as.
    [USER_HEADER]: userName().replace(/[^\x21-\x7e]/g, '?'),
    ...(issuer === undefined ? {} : { [ISSUER_HEADER]: issuer }),
  }
  return createClient('broker', 'the broker here', ({ path, headers, ...request }) =>
    send({ ...request, url: `http://localhost${path}`, socket, headers: { ...who, ...headers } }),
  )
}

export function clientOfLogin(login: SavedLogin): AdminClient {
  const { url, key } = login
  const ask: Ask = async ({ path, headers, ...request }) => {
    const once = async (accessToken: string, nonce?: string): Promise<HttpAnswer> => {
      const { method } = request
      const now = Date.now() / 1000
      const proof = makeProof(key, { method, url: `${url}${path}`, now, accessToken, nonce })
      const sent = { ...headers, authorization: `DPoP ${accessToken}`, dpop: proof }
      return await send({ ...request, url: `${url}${path}`, headers: sent })
    }
    const token = await login.accessToken()
    const answer = await once(token)
    if (answer.status !== 401) return answer
    const nonce = answer.header('dpop-nonce')
    answer.stream.resume()
    // Told what was missing, or over before its time: once more, and what comes then is the answer.
    const asksForNonce = /use_dpop_nonce/.test(answer.header('www-authenticate') ?? '')
    if (nonce !== undefined && asksForNonce) return await once(token, nonce)
    return await once(await login.accessToken(token))
  }
  return createClient('url', url, ask, async () => {
    process.stderr.write(
      'writ: this takes a passkey touched less than five minutes ago: sign in again, as with writ login\n',
    )
    await login.signInAgain(showPrompt)
  })
}

/** @param touch has a person touch a passkey now; undefined where nobody has to */
function createClient(
  through: AdminClient['through'],
  where: string,
  ask: Ask,
  touch?: () => Promise<void>,
): AdminClient {
  async function answered(
    request: Parameters<Ask>[0],
    state = { until: performance.now() + PATIENCE_MS, touched: false },
  ): Promise<unknown> {
    const answer = await ask(request)
    const text = await answer.text()
    if (answer.status >= 200 && answer.status < 300) return parse(text, where)
    const problem = readProblem(text)
    if (problem?.code === 'touch_required' && touch !== undefined && !state.touched) {
      await touch()
      return answered(request, { ...state, touched: true })
    }
    const seconds = retryAfterSeconds(answer, problem)
    if (seconds !== undefined && performance.now() + seconds * 1000 < state.until) {
      await sleep(seconds * 1000, undefined, { signal: request.signal })
      return answered(request, state)
    }
    throw problemError(answer.status, problem, { where, through })
  }

  return {
    through,
    where,
    async get(path, schema, query = {}, { signal } = {}) {
      const request = { method: 'GET', path: withQuery(path, query), headers: JSON_ONLY, signal }
      return checked(schema, await answered(request), where)
    },
    async post(path, schema, body, { key, signal } = {}) {
      const headers = {
        ...JSON_ONLY,
        'content-type': 'application/json',
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      }
      const request = { method: 'POST', path, headers, body: JSON.stringify(body), signal }
      return checked(schema, await answered(request), where)
    },
    async stream(path, { lastEventId, signal }) {
      const headers = {
        accept: 'text/event-stream',
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      }
      const answer = await ask({ method: 'GET', path, headers, signal })
      if (answer.status === 200) return answer.stream
      throw problemError(answer.status, readProblem(await answer.text()), { where, through })
    },
  }
}

const JSON_ONLY = { accept: 'application/json, application/problem+json' }

/** Only where sending the same again is what the broker asks for. */
function retryAfterSeconds(answer: HttpAnswer, problem: Problem | undefined): number | undefined {
  if (problem?.code !== 'conflict' && problem?.code !== 'too_many_requests') return undefined
  const seconds = Number(answer.header('retry-after'))
  return seconds > 0 ? seconds : undefined
}

function withQuery(path: string, query: Query): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) given.set(name, String(value))
  }
  return given.size === 0 ? path : `${path}?${given}`
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new NotUnderstood(where)
  }
}

/** What a broker has said as text. @throws {NotUnderstood} */
export function understood<T>(schema: Schema<T>, text: string, where: string): T {
  return checked(schema, parse(text, where), where)
}

/** The answer as it came, members this version does not know included, once it has the right shape. */
function checked<T>(schema: Schema<T>, json: unknown, where: string): T {
  if (schema.safeParse(json).success) return json as T
  throw new NotUnderstood(where)
}

/** What the broker says has no meaning for this version; asking again would not change that. */
export class NotUnderstood extends CliError {
  constructor(where: string) {
    super('unavailable', `${where} said something that is not understood`, {
      hint: 'use the writ command of the version that the broker has',
    })
  }
}
