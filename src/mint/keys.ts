/**
 * The broker's signing keys over their whole life: published, signing, retired, gone.
 *
 * A new key is published first and signs only after a wait, so that every verifier knows it before
 * it sees a token from it. A key that no longer signs stays published until its last token has
 * expired. All states follow from the keys' times and `now`, so every process that reads the
 * directory agrees without talking to the others.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { JsonObject } from '../lib/json.ts'
import { makeDirectory } from '../lib/make-directory.ts'
import { MAX_LIFETIME_SECONDS } from '../token/access-token.ts'
import { MAX_DELEGATION_LIFETIME_SECONDS } from '../token/delegation.ts'
import { thumbprintOf } from '../token/jwk.ts'
import type { SigningKey } from '../token/jws.ts'
import { type LocalKeySet, localKeySet } from '../token/key-set.ts'
import {
  readKeys,
  removeKey,
  SIGNING_ALGORITHMS,
  type SigningAlgorithm,
  type StoredKey,
  writeKey,
} from './key-file.ts'

export type { SigningAlgorithm } from './key-file.ts'

/** Longer than verifiers and brokers take to notice a new key by themselves. */
const PUBLISH_SECONDS = 300
/**
 * How long a superseded key stays published: the life of its last token, delegation tokens live
 * longest, and a reload that came late.
 */
const RETIRED_SECONDS = Math.max(MAX_LIFETIME_SECONDS, MAX_DELEGATION_LIFETIME_SECONDS) + 300
const RELOAD_EVERY_MS = 5_000

/** Where a key is in its life. */
export interface KeyState {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly state: 'published' | 'signing' | 'retired' | 'gone'
  /** Seconds since the epoch. */
  readonly publishedAt: number
  readonly signsFrom: number
  /** When it leaves the published set; `undefined` while nothing will supersede it. */
  readonly goneFrom: number | undefined
}

/** The keys of one directory, kept up to date until closed. */
export interface SigningKeys {
  /** @throws {Error} when no key signs at `now` */
  current(now: number): SigningKey
  /** The JWK set to publish. */
  jwks(now: number): { keys: JsonObject[] }
  /** The same keys, for checking one's own signatures. */
  verification(now: number): LocalKeySet
  states(now: number): readonly KeyState[]
  /** Reads the directory again. When it rejects, the keys known before go on serving. */
  reload(): Promise<void>
  close(): void
}

/**
 * Makes the first key of a directory (created with mode 0700); it signs at once.
 *
 * @throws {Error} when the directory has keys already, so nothing is ever overwritten
 */
export async function newKeys(
  directory: string,
  algorithm: SigningAlgorithm,
  now: number,
): Promise<KeyState> {
  await makeDirectory(directory, 0o700)
  if ((await readKeys(directory)).length > 0) {
    throw new Error(`there are signing keys in ${directory} already: use writ keys rotate`)
  }
  const from = Math.floor(now)
  return addKey(directory, algorithm, { publishedAt: from, signsFrom: from })
}

/**
 * Publishes a new key that will sign after `publishSeconds`, and deletes keys whose last token has
 * expired.
 *
 * Two processes that do this at once publish two keys; both work, and the later one signs.
 *
 * @throws {Error} when there are no keys yet, or a new one is already waiting to sign
 */
export async function rotateKeys(
  directory: string,
  now: number,
  options: {
    /** 300 by default; 0 only in an emergency, when the old key must stop at once. */
    readonly publishSeconds?: number
    /** Otherwise the algorithm of the key that signs now. */
    readonly algorithm?: SigningAlgorithm
  } = {},
): Promise<KeyState> {
  const publishSeconds = options.publishSeconds ?? PUBLISH_SECONDS
  if (!(publishSeconds >= 0)) throw new TypeError('publishSeconds must not be negative')
  const keys = await readKeys(directory)
  const states = statesOf(keys, now)
  const newest = states.at(-1)
  if (newest === undefined) {
    throw new Error(`there are no signing keys in ${directory}: run writ keys new`)
  }
  if (newest.state === 'published' && publishSeconds > 0) {
    const date = new Date(newest.signsFrom * 1000).toISOString()
    throw new Error(`a new key is already published in ${directory} and signs from ${date}`)
  }
  const publishedAt = Math.floor(now)
  const added = await addKey(directory, options.algorithm ?? newest.algorithm, {
    publishedAt,
    signsFrom: publishedAt + publishSeconds,
  })
  for (const { kid, state } of states) if (state === 'gone') await removeKey(directory, kid)
  return added
}

/**
 * Opens the keys of a directory and looks for new ones every few seconds.
 *
 * @param options `onProblem` hears of every reload that failed; the keys known before go on serving
 * @throws {Error} saying what to do when there are none, none signs yet, or others could read them
 */
export async function openKeys(
  directory: string,
  options: {
    readonly now: number
    readonly reloadEveryMs?: number
    readonly onProblem?: (problem: Error) => void
  },
): Promise<SigningKeys> {
  let keys: readonly StoredKey[] = []
  /** `verification` is asked for on every introspection, the set changes once a month. */
  let verifying: { readonly kids: string; readonly set: LocalKeySet } | undefined

  async function reload(): Promise<void> {
    const found = await readKeys(directory)
    if (found.length === 0) {
      throw new Error(`there are no signing keys in ${directory}: run writ keys new`)
    }
    // The same object for the same key: others cache by it.
    keys = found.map((key) => keys.find(({ kid }) => kid === key.kid) ?? key)
  }

  function current(now: number): SigningKey {
    const key = keys.findLast(({ signsFrom }) => signsFrom <= now)
    if (key !== undefined) return key
    throw new Error(`no key in ${directory} signs yet: check the clock, or run writ keys rotate`)
  }

  function published(now: number): StoredKey[] {
    const states = statesOf(keys, now)
    return keys.filter((_, at) => states[at]?.state !== 'gone')
  }

  await reload()
  current(options.now)
  const timer = setInterval(() => {
    reload().catch((problem: Error) => options.onProblem?.(problem))
  }, options.reloadEveryMs ?? RELOAD_EVERY_MS)
  timer.unref()

  return {
    current,
    jwks: (now) => ({ keys: published(now).map((key) => key.publicJwk) }),
    verification(now) {
      const live = published(now)
      const kids = live.map(({ kid }) => kid).join()
      if (verifying?.kids !== kids) {
        const jwks = { keys: live.map((key) => key.publicJwk) }
        verifying = { kids, set: localKeySet(jwks, SIGNING_ALGORITHMS) }
      }
      return verifying.set
    },
    states: (now) => statesOf(keys, now),
    reload,
    close: () => clearInterval(timer),
  }
}

async function addKey(
  directory: string,
  algorithm: SigningAlgorithm,
  times: Pick<StoredKey, 'publishedAt' | 'signsFrom'>,
): Promise<KeyState> {
  const { privateKey, publicKey } = generate(algorithm)
  const kid = await thumbprintOf(publicKey.export({ format: 'jwk' }))
  await writeKey(directory, { kid, algorithm, key: privateKey, ...times })
  const state = times.signsFrom > times.publishedAt ? 'published' : 'signing'
  return { kid, algorithm, state, ...times, goneFrom: undefined }
}

function generate(algorithm: SigningAlgorithm): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (algorithm) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    case 'RS256':
      return generateKeyPairSync('rsa', { modulusLength: 3072 })
    case 'Ed25519':
      return generateKeyPairSync('ed25519')
    default:
      throw new TypeError(`expected one of ${SIGNING_ALGORITHMS.join(', ')}`)
  }
}

/** `keys` in the order in which they sign: each is superseded by the one after it. */
function statesOf(keys: readonly StoredKey[], now: number): KeyState[] {
  return keys.map(({ kid, algorithm, publishedAt, signsFrom }, at) => {
    const supersededFrom = keys[at + 1]?.signsFrom
    const goneFrom = supersededFrom === undefined ? undefined : supersededFrom + RETIRED_SECONDS
    const known = { kid, algorithm, publishedAt, signsFrom, goneFrom }
    if (signsFrom > now) return { ...known, state: 'published' }
    if (supersededFrom === undefined || supersededFrom > now) return { ...known, state: 'signing' }
    return { ...known, state: goneFrom! > now ? 'retired' : 'gone' }
  })
}
