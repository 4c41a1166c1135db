/** What went wrong, in one word that stays the same between versions. This folder's README lists them. */
export type WritErrorCode =
  | 'url_refused'
  | 'resource_refused'
  | 'message_refused'
  | 'identity_unavailable'
  | 'broker_unreachable'
  | 'broker_misconfigured'
  | 'token_refused'
  | 'token_unbound'
  | 'server_refused'
  | 'redirect_refused'
  | 'server_unproven'
  | 'broker_unproven'

export interface WritErrorDetails {
  /** The HTTP status of the answer that said no. */
  readonly status?: number | undefined
  /** The OAuth error code of that answer (RFC 6749 §5.2, RFC 6750 §3.1), as in `insufficient_scope`. */
  readonly error?: string | undefined
  readonly cause?: unknown
}

/**
 * An expected no on the way to an MCP server: what was refused, by whom, and what to do about it.
 * It never holds a token, a proof or an identity.
 */
export class WritError extends Error {
  readonly code: WritErrorCode
  readonly status: number | undefined
  readonly error: string | undefined

  constructor(code: WritErrorCode, message: string, details: WritErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'WritError'
    this.code = code
    this.status = details.status
    this.error = details.error
    // MCP SDK v2 guesses a server's protocol era from a first request, and reads an unknown error
    // there as a server of the older era. With this mark it passes the error on as it is.
    Object.defineProperty(this, Symbol.for('mcp.authSeamEscape'), { value: true })
  }
}

const MAX_WORDS = 300
const MAX_READ = 2_000
/** A run as long as this is a token, a proof or a hash; an honest sentence has none. */
const TOKEN_SHAPE = /[\w\-.~+=]{40,}/g

/**
 * Text from another party, fit for an error message: one line, short, and without anything that has
 * the shape of a token, in case that party repeats what it was sent.
 */
export function quotable(text: string): string {
  const line = text
    .slice(0, MAX_READ)
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
  const clean = line.replace(TOKEN_SHAPE, '[removed]')
  return clean.length > MAX_WORDS ? `${clean.slice(0, MAX_WORDS)}…` : clean
}
