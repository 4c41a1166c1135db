const SESSION_ID = /^[A-Za-z0-9_-]{43}$/

/**
 * Whether it may be a session's id, which is a hash in base64url. A part of one would stop nothing, and
 * look as if it did. Entries of the feed may hold others: what is kept is not judged by this.
 */
export function isSessionId(text: string): boolean {
  return SESSION_ID.test(text)
}

export const NO_SESSION_ID = "is no session's id, which is 43 base64url characters"
