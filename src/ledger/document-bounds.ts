/** What a document, its place and a question about documents may look like; the same in every store. */

import { randomBytes } from 'node:crypto'
import { FARTHEST_SECONDS } from '../lib/farthest.ts'
import { isJsonObject, JsonError, type JsonObject, parseJson } from '../lib/json.ts'
import { checkId, unavailable } from './bounds.ts'
import type { Document, DocumentOptions, ListOptions } from './documents.ts'

const MAX_DOCUMENT_BYTES = 64 * 1024
const MAX_PAGE = 1000

const KIND = /^[a-z_]{1,32}$/

/** A document as a store keeps it. */
export interface KeptDocument extends Omit<Document, 'value'> {
  readonly text: string
}

/** @throws {TypeError} */
export function checkName(kind: string, id: string): void {
  checkKind(kind)
  checkId(id)
}

/**
 * What is written, checked: a new version, the text, and where it belongs.
 *
 * @throws {TypeError}
 */
export function keptDocument(
  kind: string,
  id: string,
  value: JsonObject,
  options: DocumentOptions = {},
): KeptDocument {
  checkName(kind, id)
  const { expiresAt, group, order = 0 } = options
  if (expiresAt !== undefined && !(Math.abs(expiresAt) < FARTHEST_SECONDS)) {
    throw new TypeError('expiresAt must be in seconds since the epoch')
  }
  if (group !== undefined) checkId(group, 'group')
  checkOrder(order)
  const version = randomBytes(12).toString('base64url')
  // Without the sign of -0, which has no place of its own.
  return { id, text: textOf(value), version, order: order + 0, group, expiresAt }
}

/** @throws {TypeError} */
export function checkList(kind: string, { group, after, limit }: ListOptions): void {
  checkKind(kind)
  if (group !== undefined) checkId(group, 'group')
  if (after !== undefined) {
    checkId(after.id, 'after.id')
    checkOrder(after.order)
  }
  checkPage(limit)
}

/** @throws {TypeError} */
export function checkPage(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_PAGE) {
    throw new TypeError(`limit must be a whole number from 1 to ${MAX_PAGE}`)
  }
}

/** @throws {Refusal} ledger_unavailable when what was kept is no document */
export function documentOf(kept: KeptDocument): Document {
  const { id, text, version, order, group, expiresAt } = kept
  let value: unknown
  try {
    value = parseJson(text, { maxBytes: MAX_DOCUMENT_BYTES })
  } catch (error) {
    throw unavailable('what the store holds is no document', error)
  }
  if (!isJsonObject(value as JsonObject)) throw unavailable('what the store holds is no document')
  return { id, value: value as JsonObject, version, order, group, expiresAt }
}

function checkKind(kind: string): void {
  if (typeof kind !== 'string' || !KIND.test(kind)) {
    throw new TypeError('kind must be 1 to 32 of a-z and _')
  }
}

function checkOrder(order: number): void {
  if (!Number.isFinite(order)) throw new TypeError('order must be a finite number')
}

function textOf(value: JsonObject): string {
  if (!isJsonObject(value)) throw new TypeError('a document must be a JSON object')
  const text = JSON.stringify(value)
  try {
    // What strict JSON would not read back is refused before it is kept.
    parseJson(text, { maxBytes: MAX_DOCUMENT_BYTES })
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    throw new TypeError(`a document must be strict JSON of at most 64 KiB: ${error.message}`)
  }
  return text
}
