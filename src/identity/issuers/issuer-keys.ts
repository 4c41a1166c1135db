/** The keys of one configured issuer: out of a file, from a URL, or from what its discovery names. */
import { isJsonObject, parseJson } from '../../lib/json.ts'
import { Refusal, refuse } from '../../refusal.ts'
import type { Algorithm } from '../../token/algorithm.ts'
import type { VerificationKey } from '../../token/jws.ts'
import type { KeySource } from '../../token/key-set.ts'
import { remoteKeySet } from '../../token/remote-key-set.ts'
import type { Lookup } from '../checked-lookup.ts'
import { type GuardedFetch, guardedFetch } from '../guarded-fetch.ts'
import { openJwksFile } from './jwks-file.ts'

export type IssuerKeysFrom =
  | { readonly jwksFile: string }
  | { readonly jwksUrl: string }
  /** The `jwks_uri` in the issuer's own metadata (OpenID Connect Discovery §4). */
  | { readonly discovery: true }

export interface IssuerKeysOptions {
  readonly alias: string
  readonly issuer: string
  readonly keys: IssuerKeysFrom
  readonly algorithms: readonly Algorithm[]
  readonly allowAddresses?: readonly string[]
  readonly ca?: string
  readonly caFile?: string
  /** Told in words about what an operator should know; never with a key in it. */
  readonly onProblem?: (problem: { readonly issuer: string; readonly detail: string }) => void
  /** The least time between two fetches, 10 s by default. */
  readonly minRefreshMs?: number
  /** How long keys serve that cannot be fetched again, 10 min by default. */
  readonly maxKeyAgeMs?: number
  /** How long one fetch may take, discovery included; 5 s by default. */
  readonly timeoutMs?: number
  /** How often a file is looked at. */
  readonly pollMs?: number
  /** Milliseconds, monotonic; for tests. */
  readonly clockMs?: () => number
  readonly lookup?: Lookup
}

export interface IssuerKeys {
  /**
   * As `KeySource.find`.
   *
   * @throws {Refusal} `trust_unavailable` when the answer cannot be known now
   */
  find(
    kid: string | undefined,
    algorithm: string,
  ): VerificationKey | undefined | Promise<VerificationKey | undefined>
  close(): Promise<void>
}

const MAX_SET_BYTES = 256 * 1024
const WELL_KNOWN = '/.well-known/openid-configuration'

/**
 * Keys at a URL are fetched in the background now, and then as `remoteKeySet` says: a start does not
 * depend on an issuer's web server, and a stranger's tokens do not decide how often it is asked.
 *
 * @throws {TypeError} when a URL is not https
 * @throws {Error} naming the file that cannot be read
 */
export async function openIssuerKeys(options: IssuerKeysOptions): Promise<IssuerKeys> {
  const { alias, keys, algorithms } = options
  const report = reporter(alias, options.onProblem)
  if ('jwksFile' in keys) {
    const source = await openJwksFile({
      ...options,
      file: keys.jwksFile,
      onProblem: report.problem,
    })
    return { find: whenKnown(source, alias, report), close: async () => source.close() }
  }
  const url = httpsUrl('jwksUrl' in keys ? keys.jwksUrl : discoveryUrl(options.issuer))
  const guarded = guardedFetch({ ...options, maxBytes: MAX_SET_BYTES })
  const read = 'jwksUrl' in keys ? readText : readDiscovered(options.issuer)
  const source = remoteKeySet({
    url,
    algorithms,
    async fetch(target, init) {
      try {
        const text = await read(guarded, String(target), init?.signal)
        report.well()
        return new Response(text)
      } catch (error) {
        // Of a refresh in the background nobody else hears.
        report.problem(messageOf(error))
        throw error
      }
    },
    ...(options.minRefreshMs === undefined ? {} : { minRefreshMs: options.minRefreshMs }),
    ...(options.maxKeyAgeMs === undefined ? {} : { maxAgeMs: options.maxKeyAgeMs }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.clockMs === undefined ? {} : { clockMs: options.clockMs }),
  })
  source.ready().catch((error: unknown) => report.problem(detailOf(error)))
  return {
    find: whenKnown(source, alias, report),
    async close() {
      source.close()
      await guarded.close()
    },
  }
}

/** What is known about an issuer's trust, not about the broker's keys, is missing. */
function whenKnown(source: KeySource, alias: string, report: Reporter): IssuerKeys['find'] {
  const rename = (error: unknown): never => {
    if (!(error instanceof Refusal) || error.reason.code !== 'keys_unavailable') throw error
    report.problem(detailOf(error))
    refuse({ code: 'trust_unavailable', detail: `keys of ${alias}: ${detailOf(error)}` }, error)
  }
  return (kid, algorithm) => {
    try {
      const found = source.find(kid, algorithm)
      return found instanceof Promise ? found.catch(rename) : found
    } catch (error) {
      return rename(error)
    }
  }
}

type Read = (
  get: GuardedFetch,
  url: string,
  signal: AbortSignal | null | undefined,
) => Promise<string>

const readText: Read = async (get, url, signal) => {
  const accept = 'application/jwk-set+json, application/json'
  const answer = await get(url, { headers: { accept }, ...(signal ? { signal } : {}) })
  if (answer.status !== 200) throw new Error(`${new URL(url).host} answered ${answer.status}`)
  return answer.text
}

/**
 * Asked again with every refresh, so that a moved key set is found. The metadata must be the
 * issuer's own: one that names another issuer would lend that one's keys (Discovery §4.3).
 */
function readDiscovered(issuer: string): Read {
  return async (get, url, signal) => {
    const metadata = parseJson(await readText(get, url, signal), { maxBytes: MAX_SET_BYTES })
    if (!isJsonObject(metadata)) throw new Error('the metadata is no JSON object')
    if (metadata.issuer !== issuer) throw new Error('the metadata names another issuer')
    const { jwks_uri: jwksUri } = metadata
    if (typeof jwksUri !== 'string') throw new Error('the metadata has no jwks_uri')
    return await readText(get, jwksUri, signal)
  }
}

function discoveryUrl(issuer: string): string {
  return issuer.replace(/\/$/, '') + WELL_KNOWN
}

function httpsUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '') {
    throw new TypeError(`"${text}" is no https URL that keys can be fetched from`)
  }
  return text
}

interface Reporter {
  problem(detail: string): void
  well(): void
}

/** The same trouble again and again is one line in the operator's log. */
function reporter(alias: string, onProblem: IssuerKeysOptions['onProblem']): Reporter {
  let last: string | undefined
  return {
    problem(detail) {
      if (detail !== last) onProblem?.({ issuer: alias, detail })
      last = detail
    },
    well() {
      last = undefined
    },
  }
}

function detailOf(error: unknown): string {
  const { reason } = error as { reason?: { detail?: unknown } }
  return typeof reason?.detail === 'string' ? reason.detail : messageOf(error)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'the keys could not be fetched'
}
