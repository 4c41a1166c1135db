/** Bodies of requests to the admin side: small, of one type, read once. */
import { PassThrough } from 'node:stream'
import type { Context } from 'koa'
import { isJsonObject, JsonError, type JsonObject, parseJson } from '../lib/json.ts'
import { AdminRefusal, refuseAdmin } from './admin-refusal.ts'

const MAX_BODY_BYTES = 32 * 1024
const FORM_TYPE = /^application\/x-www-form-urlencoded(?:\s*;\s*charset="?utf-8"?)?\s*$/i
const JSON_TYPE = /^application\/json(?:\s*;\s*charset="?utf-8"?)?\s*$/i

/** @throws {AdminRefusal} request_invalid, request_too_large */
export async function receiveJson(ctx: Context): Promise<JsonObject> {
  checkJsonType(ctx)
  try {
    const json = parseJson(await receive(ctx, MAX_BODY_BYTES), { maxDepth: 8 })
    if (isJsonObject(json)) return json
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
  }
  return refuseAdmin({ code: 'request_invalid', pointer: '', detail: 'expected a JSON object' })
}

/**
 * Parameters of an OAuth request (RFC 6749 §3.2), each once. Whatever is not ASCII stands in them as
 * `%` and digits; a byte order mark, which readers skip or do not, would make two names of one.
 *
 * @throws {AdminRefusal} request_invalid, request_too_large
 */
export async function receiveForm(
  ctx: Context,
): Promise<{ form: ReadonlyMap<string, string>; bytes: Buffer }> {
  checkType(ctx, FORM_TYPE, 'application/x-www-form-urlencoded')
  const bytes = await receive(ctx, MAX_BODY_BYTES)
  if (bytes.some((byte) => byte > 0x7f)) {
    refuseAdmin({ code: 'request_invalid', pointer: '', detail: 'expected ASCII' })
  }
  const form = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(bytes.toString('latin1'))) {
    if (form.has(name)) {
      refuseAdmin({ code: 'request_invalid', pointer: name, detail: 'given twice' })
    }
    form.set(name, value)
  }
  return { form, bytes }
}

/** A page of another origin cannot send this type without being asked first. */
export function checkJsonType(ctx: Context): void {
  checkType(ctx, JSON_TYPE, 'application/json')
}

function checkType(ctx: Context, type: RegExp, name: string): void {
  const encoded = ctx.req.headers['content-encoding'] !== undefined
  if (!encoded && type.test(ctx.req.headers['content-type'] ?? '')) return
  refuseAdmin({ code: 'request_invalid', pointer: '', detail: `expected ${name}` })
}

/** @throws {AdminRefusal} request_too_large; request_invalid when it was cut short */
export async function receive(ctx: Context, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    // The connection stays, so that the refusal can be told.
    for await (const chunk of ctx.req.iterator({ destroyOnReturn: false })) {
      length += chunk.length
      if (length > limitBytes) refuseAdmin({ code: 'request_too_large', limitBytes })
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof AdminRefusal) throw error
    refuseAdmin({ code: 'request_invalid', pointer: '', detail: 'the body was cut short' })
  }
  return Buffer.concat(chunks)
}

/** A request like this one whose body can be read again, as oidc-provider does. */
export function withBody(ctx: Context, bytes: Buffer): Context['req'] {
  const stream = new PassThrough()
  stream.end(bytes)
  return Object.create(ctx.req, {
    readable: { value: true },
    readableEncoding: { value: null },
    iterator: { value: stream.iterator.bind(stream) },
  })
}
