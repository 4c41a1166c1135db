import { createHash } from 'node:crypto'

/**
 * base64url(SHA-256) of several strings, such that no two different lists have one hash: each string
 * is preceded by its length, so `["a", "bc"]` and `["ab", "c"]` differ.
 */
export function hashStrings(strings: readonly string[]): string {
  const hash = createHash('sha256')
  for (const text of strings) hash.update(`${Buffer.byteLength(text)}:${text}`)
  return hash.digest('base64url')
}
