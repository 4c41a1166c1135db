/**
 * Nonces for DPoP proofs (RFC 9449 §8, §9) that no process has to remember.
 *
 * Time is cut into steps; the nonce of a step is an HMAC over its number. Every process that knows
 * the secret issues and accepts the same ones. A nonce is good for the rest of its step and all of
 * the next, so a proof made in advance is worthless after at most two steps.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { open } from 'node:fs/promises'
import { encodeBase64url } from '../lib/base64url.ts'

const MIN_SECRET_BYTES = 32
const NONCE_BYTES = 24
const DEFAULT_LIFETIME_SECONDS = 60
/** Separates this use of the secret from any other. */
const LABEL = 'writ dpop nonce 1:'

export class Nonces {
  readonly #secret: Buffer
  readonly #stepSeconds: number
  #step = Number.NaN
  #current: Buffer = Buffer.alloc(0)
  #previous: Buffer = Buffer.alloc(0)

  /**
   * @param secret at least 32 bytes, the same in every process of one broker or one resource
   * @param options `lifetimeSeconds`: the least time a nonce is good for, 60 by default; at most
   *   twice that
   * @throws {TypeError} on a short secret or a lifetime that is not from 1 to 3600 s
   */
  constructor(secret: Uint8Array, options?: { readonly lifetimeSeconds?: number }) {
    const lifetimeSeconds = options?.lifetimeSeconds ?? DEFAULT_LIFETIME_SECONDS
    if (secret.length < MIN_SECRET_BYTES) {
      throw new TypeError(`the nonce secret must have at least ${MIN_SECRET_BYTES} bytes`)
    }
    if (!(lifetimeSeconds >= 1 && lifetimeSeconds <= 3600)) {
      throw new TypeError('the lifetime of a nonce must be from 1 to 3600 s')
    }
    this.#secret = Buffer.from(secret)
    this.#stepSeconds = lifetimeSeconds
  }

  /** The nonce to answer with at `now` (seconds): base64url, so all NQCHAR (RFC 9449 §8.1). */
  issue(now: number): string {
    this.#turnTo(now)
    return this.#current.toString('latin1')
  }

  /** Whether `nonce` is of this step or the one before; takes equally long for any wrong one. */
  accepts(nonce: string, now: number): boolean {
    this.#turnTo(now)
    const given = Buffer.from(nonce)
    if (given.length !== this.#current.length) return false
    const current = timingSafeEqual(given, this.#current)
    const previous = timingSafeEqual(given, this.#previous)
    return current || previous
  }

  #turnTo(now: number): void {
    const step = Math.floor(now / this.#stepSeconds)
    if (step === this.#step) return
    this.#current = this.#nonceOf(step)
    this.#previous = this.#nonceOf(step - 1)
    this.#step = step
  }

  #nonceOf(step: number): Buffer {
    const mac = createHmac('sha256', this.#secret).update(`${LABEL}${step}`).digest()
    return Buffer.from(encodeBase64url(mac.subarray(0, NONCE_BYTES)), 'latin1')
  }
}

/**
 * Reads the secret shared by all processes; a trailing line break is not part of it.
 *
 * @throws {Error} saying what to do when the file is missing, too short, or open to other users
 */
export async function readNonceSecret(file: string): Promise<Buffer> {
  const handle = await open(file).catch((cause: unknown) => {
    throw new Error(
      `cannot read the nonce secret ${file}: make one with "openssl rand -base64 48 > ${file}"`,
      { cause },
    )
  })
  try {
    const { mode } = await handle.stat()
    if (process.platform !== 'win32' && (mode & 0o007) !== 0) {
      throw new Error(`the nonce secret ${file} is open to every user: chmod 600 ${file}`)
    }
    const bytes = await handle.readFile()
    let end = bytes.length
    while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--
    if (end < MIN_SECRET_BYTES) {
      throw new Error(`the nonce secret ${file} must have at least ${MIN_SECRET_BYTES} bytes`)
    }
    return bytes.subarray(0, end)
  } finally {
    await handle.close()
  }
}
