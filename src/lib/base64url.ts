/**
 * Base64url (RFC 4648 §5) with one spelling per value.
 *
 * Node's own decoder ignores padding, white space, foreign characters and unused trailing bits, so
 * one token would have many spellings and every cache or ledger keyed by text could be dodged.
 */

/** Without padding. A string is taken as UTF-8. */
export function encodeBase64url(bytes: Uint8Array | string): string {
  if (typeof bytes === 'string') return Buffer.from(bytes).toString('base64url')
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}

/** The bytes, or `undefined` for anything but the canonical spelling. */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}
