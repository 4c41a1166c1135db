/**
 * Where a page of a list ended. Opaque to callers, and read like anything else they send: a cursor
 * that was not made here is a request that is not valid, never an exception.
 */
import { decodeBase64url, encodeBase64url } from '../lib/base64url.ts'
import { type Json, JsonError, parseJson } from '../lib/json.ts'
import { invalid } from './request.ts'

const MAX_CURSOR_BYTES = 1024

/** A place in a list that is ordered by a number and then by a name. */
export interface Place {
  readonly order: number
  readonly id: string
}

/** @param list which list it is of; another list does not take it */
export function cursorOf(list: string, { order, id }: Place): string {
  return encodeBase64url(JSON.stringify([list, order, id]))
}

/** @throws {AdminRefusal} request_invalid */
export function parseCursor(list: string, text: string | undefined): Place | undefined {
  if (text === undefined) return undefined
  const [named, order, id, ...others] = read(text)
  const good =
    named === list && typeof order === 'number' && typeof id === 'string' && others.length === 0
  return good && isId(id) ? { order, id } : refuseCursor()
}

function read(text: string): readonly Json[] {
  const bytes = text.length > MAX_CURSOR_BYTES ? undefined : decodeBase64url(text)
  if (bytes === undefined) return refuseCursor()
  try {
    const json = parseJson(bytes, { maxBytes: MAX_CURSOR_BYTES, maxDepth: 1 })
    return Array.isArray(json) ? json : refuseCursor()
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return refuseCursor()
  }
}

/** What the stores take as an id; anything else would be an error of theirs, and is nobody's id. */
export function isId(id: string): boolean {
  return /^[\x21-\x7e]{1,256}$/.test(id)
}

/** @throws {AdminRefusal} request_invalid */
export function refuseCursor(): never {
  return invalid('cursor', 'is no cursor of this list')
}
