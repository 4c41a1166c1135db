/** What a request says, read strictly: a parameter or a member that means nothing is an error. */
import type { Context } from 'koa'
import type { z } from 'zod'
import { type Json, JsonError, parseJson } from '../lib/json.ts'
import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import { checkJsonType, receive } from '../sign-in/body.ts'

const MAX_BODY_BYTES = 256 * 1024
const MAX_QUERY_CHARACTERS = 8192

/** @throws {AdminRefusal} request_invalid, naming the parameter */
export function readQuery(ctx: Context, schema: z.ZodType | undefined): unknown {
  const text = ctx.querystring
  if (text.length > MAX_QUERY_CHARACTERS) invalid('', 'the query is too long')
  const given: Record<string, string> = Object.create(null)
  for (const [name, value] of new URLSearchParams(text)) {
    if (name in given) invalid(name, 'is there twice')
    given[name] = value
  }
  const [first] = Object.keys(given)
  if (schema === undefined) {
    if (first !== undefined) invalid(first, 'means nothing here')
    return undefined
  }
  return checked(schema, { ...given }, (path) => String(path[0] ?? ''))
}

/** @throws {AdminRefusal} request_invalid with a JSON Pointer, request_too_large */
export async function readBody(ctx: Context, schema: z.ZodType | undefined): Promise<unknown> {
  const bytes = await receive(ctx, MAX_BODY_BYTES)
  if (schema === undefined) {
    if (bytes.length > 0) invalid('', 'a body means nothing here')
    return undefined
  }
  if (bytes.length === 0 && schema.safeParse(undefined).success) return undefined
  checkJsonType(ctx)
  let json: Json
  try {
    json = parseJson(bytes)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return invalid('', `the body is no strict JSON: ${error.message}`)
  }
  const left = leftOut(json)
  if (left !== undefined) invalid(pointerOf(left), 'means nothing here')
  return checkedBody(schema, json)
}

/** @throws {AdminRefusal} request_invalid with a JSON Pointer */
export function checkedBody(schema: z.ZodType, json: unknown): unknown {
  return checked(schema, json, pointerOf)
}

/** The member that zod leaves out of what it takes without a word: the answer would be about something else. */
function leftOut(json: Json): readonly string[] | undefined {
  if (typeof json !== 'object' || json === null) return undefined
  for (const [name, value] of Object.entries(json)) {
    const within = name === '__proto__' ? [] : leftOut(value)
    if (within !== undefined) return [name, ...within]
  }
  return undefined
}

function checked(
  schema: z.ZodType,
  given: unknown,
  pointer: (path: readonly PropertyKey[]) => string,
): unknown {
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  if (issue.code === 'unrecognized_keys') {
    return invalid(pointer([...issue.path, issue.keys[0] ?? '']), 'means nothing here')
  }
  return invalid(pointer(issue.path), issue.message)
}

/** RFC 6901. */
function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** @throws {AdminRefusal} request_invalid */
export function invalid(pointer: string, detail: string): never {
  return refuseAdmin({ code: 'request_invalid', pointer: pointer.slice(0, 256), detail })
}
