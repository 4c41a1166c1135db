import { hash } from 'node:crypto'

/**
 * base64url(SHA-256) of several strings, such that no two different lists have one hash: each string
 * is preceded by its length, so `["a", "bc"]` and `["ab", "c"]` differ.
 */
export function hashStrings(strings: readonly string[]): string {
  let joined = ''
  for (const text of strings) joined += `${Buffer.byteLength(text)}:${text}`
  return hash('sha256', joined, 'base64url')
}
