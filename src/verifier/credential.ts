import { refuse } from '../refusal.ts'

/** The one `Authorization` of a request, taken apart; nothing about it has been verified. */
export interface Credential {
  readonly scheme: 'dpop' | 'bearer'
  readonly token: string
}

/** Longest token that is looked at; ours are well under 4 KiB. */
const MAX_TOKEN_BYTES = 16_384

/**
 * Takes the token out of the only `Authorization` header.
 *
 * Two headers are refused even when they are equal: which of them a component in front has looked
 * at cannot be known. The scheme is case-insensitive (RFC 9110 §11.1), the token is not.
 *
 * @throws {Refusal} token_missing, token_invalid
 */
export function parseAuthorization(values: readonly string[]): Credential {
  if (values.length === 0) refuse({ code: 'token_missing' })
  if (values.length > 1) refuse({ code: 'token_invalid', check: 'count' })
  const match = /^(dpop|bearer) ([\w.~+/=-]+)$/i.exec(values[0] ?? '')
  const [, scheme, token] = match ?? []
  if (scheme === undefined || token === undefined || token.length > MAX_TOKEN_BYTES) {
    refuse({ code: 'token_invalid', check: 'form' })
  }
  return { scheme: scheme.toLowerCase() as Credential['scheme'], token }
}
