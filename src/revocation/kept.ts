/**
 * What a broker knows of the feed's entries, so that it can put back what a store lost, sign again
 * what outlives its key, and undo what it did not revoke itself.
 *
 * Only what the broker's keys verify is kept: anything else put back with a fresh signature would be
 * laundered. An undo takes the place of its revocation, and nothing takes the place of an undo.
 */
import type { SigningKey } from '../token/jws.ts'
import type { KeySource } from '../token/key-set.ts'
import type { KeptEntry } from './feed.ts'
import { signRevocation, signUndo, verifyFeedText } from './feed-text.ts'
import { COUNTS_AFTER_END_SECONDS, hasEnded, type Revocation, type Undo } from './target.ts'

/** What an entry says. */
export type Said =
  | { readonly kind: 'revoke'; readonly revocation: Revocation }
  | { readonly kind: 'undo'; readonly undo: Undo }

export interface Signed {
  readonly said: Said
  readonly entry: KeptEntry
  /** The key it was signed with. */
  readonly kid: string
}

export class KeptEntries {
  readonly #issuer: string
  readonly #keys: KeySource
  readonly #kept = new Map<string, Signed>()
  /** Undone, but their revocations were put into the feed again. */
  readonly #overwritten = new Set<string>()
  #verifying: Promise<void> = Promise.resolve()

  constructor(issuer: string, keys: KeySource) {
    this.#issuer = issuer
    this.#keys = keys
  }

  get(id: string): Signed | undefined {
    return this.#kept.get(id)
  }

  keep(signed: Signed): void {
    const { id } = signed.entry
    const isUndone = this.#kept.get(id)?.said.kind === 'undo'
    if (isUndone && signed.said.kind === 'revoke') this.#overwritten.add(id)
    else this.#kept.set(id, signed)
    if (signed.said.kind === 'undo') this.#overwritten.delete(id)
  }

  /**
   * The undos that the feed may have no more, because a broker that had not heard of them put back
   * or signed again what they undid. They have to be published again.
   */
  overwritten(): Signed[] {
    return [...this.#overwritten].flatMap((id) => this.#kept.get(id) ?? [])
  }

  /** Keeps what other brokers put into the feed, if it is theirs. */
  hear(text: string, onError: ((error: unknown) => void) | undefined): void {
    this.#verifying = this.#verifying.then(async () => {
      try {
        const content = await verifyFeedText(text, this.#issuer, this.#keys)
        if (content.kind === 'revoke' || content.kind === 'undo') {
          this.keep(signedOf(content, text, kidOf(text)))
        }
      } catch (error) {
        onError?.(error)
      }
    })
  }

  /** Resolves when everything heard so far is kept, or refused. */
  settled(): Promise<void> {
    return this.#verifying
  }

  entries(): KeptEntry[] {
    return [...this.#kept.values()].map(({ entry }) => entry)
  }

  /** The ids of those that another key has signed. */
  notSignedWith(kid: string): string[] {
    return [...this.#kept].flatMap(([id, signed]) => (signed.kid === kid ? [] : id))
  }

  dropEnded(now: number): void {
    for (const [id, { said }] of this.#kept) {
      if (hasEnded(said.kind === 'revoke' ? said.revocation : said.undo, now)) {
        this.#kept.delete(id)
        this.#overwritten.delete(id)
      }
    }
  }
}

/** @throws {TypeError} when no holder could read it */
export function signEntry(said: Said, issuer: string, key: SigningKey): Signed {
  const text =
    said.kind === 'revoke'
      ? signRevocation(said.revocation, issuer, key)
      : signUndo(said.undo, issuer, key)
  return signedOf(said, text, key.kid)
}

function signedOf(said: Said, text: string, kid: string): Signed {
  const { id, until } = said.kind === 'revoke' ? said.revocation : said.undo
  const expiresAt = until === undefined ? undefined : until + COUNTS_AFTER_END_SECONDS
  return { said, kid, entry: { id, text, expiresAt } }
}

function kidOf(text: string): string {
  const header = Buffer.from(text.slice(0, text.indexOf('.')), 'base64url').toString()
  return String(JSON.parse(header).kid)
}
