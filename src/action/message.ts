/**
 * One JSON-RPC message, from the bytes of one HTTP body.
 *
 * Nothing here says what a message may do; `demand.ts` does. Here a text becomes exactly one message
 * or a refusal, so that nobody downstream meets a batch, two members of one name, or a message that
 * is a request to one reader and a notification to another.
 */
import {
  isJsonObject,
  type Json,
  JsonError,
  type JsonLimits,
  type JsonObject,
  parseJson,
} from '../lib/json.ts'
import { type Reason, refuse } from '../refusal.ts'

/** The member of `params._meta` in which each message of the newer era names its revision. */
export const PROTOCOL_VERSION_META = 'io.modelcontextprotocol/protocolVersion'
/** The revision that made requests self-describing and sessions unnecessary. */
export const FIRST_MODERN_VERSION = '2026-07-28'

/** `modern`: the message itself names revision 2026-07-28 or later. `legacy`: 2025-11-25 and before. */
export type Era = 'modern' | 'legacy'

export interface Message {
  readonly kind: 'request' | 'notification' | 'response'
  /** The whole message as parsed: what was checked, and what must run. */
  readonly raw: JsonObject
  /** `undefined` for responses only. */
  readonly method: string | undefined
  /** `undefined` for notifications, and for error responses that could not name their request. */
  readonly id: string | number | undefined
  readonly params: JsonObject | undefined
  readonly era: Era
}

const DEFAULT_LIMITS: JsonLimits = { maxBytes: 1024 * 1024, maxDepth: 64 }
/** No method of any revision comes near, and no refusal should quote a page of text. */
const METHOD_FORM = /^[A-Za-z0-9_$./-]{1,128}$/

const REQUEST_MEMBERS = new Set(['jsonrpc', 'id', 'method', 'params'])
const RESPONSE_MEMBERS = new Set(['jsonrpc', 'id', 'result', 'error'])

/**
 * @param limits 1 MiB and 64 levels when not given
 * @throws {Refusal} `request_too_large`, `batch_refused` or `message_malformed`
 */
export function parseMessage(body: Uint8Array | string, limits: Partial<JsonLimits> = {}): Message {
  const raw = parseBody(body, { ...DEFAULT_LIMITS, ...limits })
  if (Array.isArray(raw)) refuse({ code: 'batch_refused' })
  if (!isJsonObject(raw)) malformed('a message must be an object')
  if (raw.jsonrpc !== '2.0') malformed('jsonrpc must be "2.0"')
  return Object.hasOwn(raw, 'method') ? parseCall(raw) : parseResponse(raw)
}

function parseBody(body: Uint8Array | string, limits: JsonLimits): Json {
  try {
    return parseJson(body, limits)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    const reason: Reason =
      error.problem === 'size'
        ? { code: 'request_too_large', limitBytes: limits.maxBytes }
        : { code: 'message_malformed', detail: error.message }
    refuse(reason, error)
  }
}

function parseCall(raw: JsonObject): Message {
  onlyMembers(raw, REQUEST_MEMBERS)
  const { method, id, params } = raw
  if (typeof method !== 'string' || !METHOD_FORM.test(method)) malformed('method is not a name')
  const isRequest = Object.hasOwn(raw, 'id')
  if (isRequest && !isId(id)) malformed('id must be a string or an integer')
  // JSON-RPC would allow an array; no MCP method takes one.
  if (params !== undefined && !isJsonObject(params)) malformed('params must be an object')
  return {
    kind: isRequest ? 'request' : 'notification',
    raw,
    method,
    id: isRequest ? (id as string | number) : undefined,
    params,
    era: eraOf(params),
  }
}

/** A client's answer to a request of the server, which only the older era has. */
function parseResponse(raw: JsonObject): Message {
  onlyMembers(raw, RESPONSE_MEMBERS)
  const failed = Object.hasOwn(raw, 'error')
  if (failed === Object.hasOwn(raw, 'result')) {
    malformed('a message must have a method, a result or an error, and only one of them')
  }
  const { id, result, error } = raw
  // Only an error may lack its id: it may be about a request nobody could read (JSON-RPC 2.0 §5).
  if (!isId(id) && !(failed && !Object.hasOwn(raw, 'id'))) {
    malformed('id must be a string or an integer')
  }
  if (failed ? !isErrorObject(error) : !isJsonObject(result)) {
    malformed(failed ? 'error must have a code and a message' : 'result must be an object')
  }
  return {
    kind: 'response',
    raw,
    method: undefined,
    id: id as string | number | undefined,
    params: undefined,
    era: 'legacy',
  }
}

function eraOf(params: JsonObject | undefined): Era {
  if (params === undefined || !Object.hasOwn(params, '_meta')) return 'legacy'
  const meta = params._meta
  if (!isJsonObject(meta)) malformed('params._meta must be an object')
  if (!Object.hasOwn(meta, PROTOCOL_VERSION_META)) return 'legacy'
  const version = meta[PROTOCOL_VERSION_META]
  if (typeof version !== 'string') malformed(`${PROTOCOL_VERSION_META} must be a string`)
  return isModernVersion(version) ? 'modern' : 'legacy'
}

/** Revisions are dates, so they sort as text. */
export function isModernVersion(version: string): boolean {
  return version >= FIRST_MODERN_VERSION
}

function isId(id: Json | undefined): id is string | number {
  return typeof id === 'string' || Number.isSafeInteger(id)
}

function isErrorObject(error: Json | undefined): boolean {
  return (
    isJsonObject(error) && Number.isSafeInteger(error.code) && typeof error.message === 'string'
  )
}

function onlyMembers(raw: JsonObject, known: ReadonlySet<string>): void {
  for (const member of Object.keys(raw)) {
    if (!known.has(member)) malformed('a message has a member that JSON-RPC 2.0 does not know')
  }
}

function malformed(detail: string): never {
  refuse({ code: 'message_malformed', detail })
}
