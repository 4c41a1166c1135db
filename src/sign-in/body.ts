/** Bodies of requests to the admin side: small, of one type, and what is wrong with one is a refusal. */
import type { Context } from 'koa'
import * as body from '../lib/form.ts'
import { isJsonObject, JsonError, type JsonObject, parseJson } from '../lib/json.ts'
import { refuseAdmin } from './admin-refusal.ts'

const MAX_BODY_BYTES = 32 * 1024
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
 * The parameters of an OAuth request, as the broker reads them (`lib/form.ts`).
 *
 * @throws {AdminRefusal} request_invalid, request_too_large
 */
export async function receiveForm(ctx: Context): Promise<body.ReceivedForm> {
  const reading = body.receiveForm(ctx.req, MAX_BODY_BYTES)
  return reading.catch((error) => refuseBody(ctx, error, MAX_BODY_BYTES))
}

/** A page of another origin cannot send this type without being asked first. */
export function checkJsonType({ req }: Context): void {
  if (JSON_TYPE.test(req.headers['content-type'] ?? '')) return
  refuseAdmin({ code: 'request_invalid', pointer: '', detail: 'expected application/json' })
}

/** @throws {AdminRefusal} request_too_large; request_invalid when it is compressed or was cut short */
export async function receive(ctx: Context, limitBytes: number): Promise<Buffer> {
  const reading = body.readBody(ctx.req, limitBytes)
  return reading.catch((error) => refuseBody(ctx, error, limitBytes))
}

function refuseBody(ctx: Context, error: unknown, limitBytes: number): never {
  if (!(error instanceof body.BodyError)) throw error
  // The next request on this connection would wait behind what is left unread.
  if (!ctx.req.complete) ctx.set('Connection', 'close')
  if (error.fault === 'too_large') refuseAdmin({ code: 'request_too_large', limitBytes }, error)
  const { parameter, message } = error
  refuseAdmin({ code: 'request_invalid', pointer: parameter, detail: message }, error)
}
