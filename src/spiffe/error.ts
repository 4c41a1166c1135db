/** What went wrong, in one word that stays the same between versions. This folder's README lists them. */
export type SpiffeErrorCode =
  | 'socket_invalid'
  | 'api_unavailable'
  | 'api_refused'
  | 'identity_denied'
  | 'identity_invalid'
  | 'identity_expired'
  | 'peer_unproven'
  | 'url_refused'
  | 'closed'

/** An expected no on the way to an identity or a peer. It never holds a key, a certificate or a token. */
export class SpiffeError extends Error {
  readonly code: SpiffeErrorCode

  constructor(code: SpiffeErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'SpiffeError'
    this.code = code
    // MCP SDK v2 reads an unknown error of a first request as a server of an older protocol and
    // tries that one; with this mark it passes the error on as it is.
    Object.defineProperty(this, Symbol.for('mcp.authSeamEscape'), { value: true })
  }
}

const MAX_WORDS = 200
const MAX_READ = 2_000
/** A run as long as this is a key, a certificate or a token; an honest sentence has none. */
const SECRET_SHAPE = /[\w\-+/=]{40,}/g

/** Another party's words, fit for a message: one line, short, and nothing that looks like a credential. */
export function quotable(text: string): string {
  const line = text
    .slice(0, MAX_READ)
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
  const clean = line.replace(SECRET_SHAPE, '[removed]')
  return clean.length > MAX_WORDS ? `${clean.slice(0, MAX_WORDS)}…` : clean
}
