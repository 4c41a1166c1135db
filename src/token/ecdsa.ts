/**
 * ECDSA signatures, from the form JWS uses (r and s side by side, RFC 7518 §3.4) to the DER that
 * node:crypto takes by default, and back.
 *
 * Node can convert by itself when the key is passed with `dsaEncoding`, but on Node 24 an options
 * object costs more than half a signature check; the bare key with our own conversion does not.
 */
import type { Curve } from './algorithm.ts'

const SEQUENCE = 0x30
const INTEGER = 0x02

/**
 * DER of a signature; `undefined` unless it is exactly two numbers from 1 to the group order − 1.
 *
 * Both s and n − s are accepted, as RFC 7518 does: whoever holds one valid signature can write the
 * other. So nothing may take a signature, or a hash over one, for the identity of a token.
 */
export function derFromJws(signature: Buffer, curve: Curve): Buffer | undefined {
  if (signature.length !== 2 * curve.bytes) return undefined
  const rStart = firstDigit(signature, 0, curve.bytes)
  const sStart = firstDigit(signature, curve.bytes, 2 * curve.bytes)
  if (rStart === curve.bytes || sStart === 2 * curve.bytes) return undefined
  if (curve.order.compare(signature, 0, curve.bytes) <= 0) return undefined
  if (curve.order.compare(signature, curve.bytes) <= 0) return undefined

  const rBytes = curve.bytes - rStart
  const sBytes = 2 * curve.bytes - sStart
  // A leading zero keeps a number whose first bit is set from being negative.
  const rPad = signature[rStart]! >> 7
  const sPad = signature[sStart]! >> 7
  const bodyBytes = 4 + rPad + rBytes + sPad + sBytes
  const longForm = bodyBytes > 127 ? 1 : 0

  const der = Buffer.alloc(2 + longForm + bodyBytes)
  let at = 0
  der[at++] = SEQUENCE
  if (longForm) der[at++] = 0x81
  der[at++] = bodyBytes
  der[at++] = INTEGER
  der[at++] = rPad + rBytes
  at += rPad + signature.copy(der, at + rPad, rStart, curve.bytes)
  der[at++] = INTEGER
  der[at++] = sPad + sBytes
  signature.copy(der, at + sPad, sStart)
  return der
}

/** The JWS form of a DER signature that node:crypto has just made. */
export function jwsFromDer(der: Buffer, curve: Curve): Buffer {
  const signature = Buffer.alloc(2 * curve.bytes)
  const rAt = (der[1] === 0x81 ? 3 : 2) + 2
  const rEnd = rAt + der[rAt - 1]!
  const sAt = rEnd + 2
  const sEnd = sAt + der[sAt - 1]!
  copyRight(der, rAt, rEnd, signature, curve.bytes)
  copyRight(der, sAt, sEnd, signature, 2 * curve.bytes)
  return signature
}

function firstDigit(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && bytes[at] === 0) at++
  return at
}

function copyRight(from: Buffer, start: number, end: number, to: Buffer, toEnd: number): void {
  const digits = firstDigit(from, start, end)
  from.copy(to, toEnd - (end - digits), digits, end)
}
