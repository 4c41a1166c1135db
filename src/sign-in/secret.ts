/** Secrets that a browser or a person carries: made here, and kept only as hashes. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { encodeBase64url } from '../lib/base64url.ts'

const SECRET_BYTES = 32
const SECRET = /^[A-Za-z0-9_-]{43}$/

/** 256 random bits as text. */
export function newSecret(): string {
  return encodeBase64url(randomBytes(SECRET_BYTES))
}

export function isSecret(text: unknown): text is string {
  return typeof text === 'string' && SECRET.test(text)
}

/** The id of what is kept for a secret. `purpose` keeps a secret of one kind from opening another. */
export function keptId(purpose: string, secret: string): string {
  return hash('sha256', `${purpose}:${secret}`, 'base64url')
}

/** Compares without telling by its time how much was right. */
export function sameText(a: string, b: string): boolean {
  const [left, right] = [hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer')]
  return timingSafeEqual(left, right)
}
