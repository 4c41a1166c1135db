/** An issuer's keys out of a file, followed like a trust bundle. */
import { readIfChanged } from '../../lib/changed-file.ts'
import { isJsonObject, parseJson } from '../../lib/json.ts'
import { refuse } from '../../refusal.ts'
import type { Algorithm } from '../../token/algorithm.ts'
import { importAll, type KeySource, type KnownKeys, keySetOf } from '../../token/key-set.ts'

export interface JwksFile extends KeySource {
  close(): void
}

export interface JwksFileOptions {
  readonly file: string
  readonly algorithms: readonly Algorithm[]
  readonly onProblem: (detail: string) => void
  /** How often the file is looked at. */
  readonly pollMs?: number
  /** How long the last good keys serve after the file has become unreadable or invalid. */
  readonly maxStaleMs?: number
  /** Milliseconds, monotonic; for tests. */
  readonly clockMs?: () => number
}

const POLL_MS = 1000
const MAX_STALE_MS = 10 * 60_000
const MAX_FILE_BYTES = 256 * 1024

/**
 * Reads the file now, and again whenever it has changed. An emptied set takes effect at once.
 *
 * @throws {Error} (as a rejection) naming the file when it holds no JWK set: a broker does not start
 *   on trust material it cannot read
 */
export async function openJwksFile(options: JwksFileOptions): Promise<JwksFile> {
  const { file, algorithms, onProblem } = options
  const clockMs = options.clockMs ?? (() => performance.now())
  const maxStaleMs = options.maxStaleMs ?? MAX_STALE_MS
  let keys: KnownKeys = new Map()
  let set = keySetOf(keys)
  let fingerprint: string | undefined
  let brokenSince: number | undefined
  let closed = false

  async function look(): Promise<void> {
    const found = await readIfChanged(file, fingerprint, MAX_FILE_BYTES)
    if (found !== undefined) {
      const jwks = parseJson(found.bytes, { maxBytes: MAX_FILE_BYTES })
      if (!isJsonObject(jwks)) throw new Error('it is no JSON object')
      keys = importAll(jwks, algorithms, keys)
      set = keySetOf(keys)
      if (keys.size === 0) onProblem(`${file} holds no usable key`)
      fingerprint = found.fingerprint
    }
    brokenSince = undefined
  }

  async function lookAgain(): Promise<void> {
    if (closed) return
    try {
      await look()
    } catch (error) {
      // Said once, not at every look.
      if (brokenSince === undefined) onProblem(`${file} cannot be used: ${detailOf(error)}`)
      brokenSince ??= clockMs()
      fingerprint = undefined
    }
    schedule()
  }

  function schedule(): void {
    setTimeout(lookAgain, options.pollMs ?? POLL_MS).unref()
  }

  try {
    await look()
  } catch (cause) {
    throw new Error(`${file}: ${detailOf(cause)}`, { cause })
  }
  schedule()

  return {
    find(kid, algorithm) {
      // At each use and not by the timer alone: a late timer must not prolong trust.
      if (brokenSince !== undefined && clockMs() - brokenSince > maxStaleMs) {
        refuse({ code: 'keys_unavailable', detail: 'the keys are too old to be believed' })
      }
      return set.find(kid, algorithm)
    },
    close() {
      closed = true
    },
  }
}

function detailOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
