/**
 * The request headers that repeat the body: `MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name` and
 * `Mcp-Param-*` (MCP 2026-07-28, Streamable HTTP).
 *
 * Proxies route, limit and log by them without reading the body. If a header could disagree with
 * the body, something on the way would have judged another call than the one that runs. The token
 * is always checked against the body.
 */
import { isUtf8 } from 'node:buffer'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import { ruleOf } from './demand.ts'
import { isModernVersion, type Message, PROTOCOL_VERSION_META } from './message.ts'

/**
 * Gives a request's header by its name in lower case: `undefined` when absent, and several values
 * joined with a comma, which then equal nothing.
 */
export type HeaderLookup = (name: string) => string | undefined

const SENTINEL = { start: '=?base64?', end: '?=' }
/** RFC 9110 §5.6.2. */
const TOKEN_FORM = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const DECIMAL_FORM = /^-?[0-9]+(\.[0-9]+)?$/
const PARAM_TYPES: ReadonlySet<Json | undefined> = new Set([
  'string',
  'integer',
  'boolean',
  'number',
])

/**
 * A request of the newer era must carry the headers; in every era those that are there must agree.
 *
 * @throws {Refusal} `header_mismatch`
 */
export function checkHeaders(message: Message, header: HeaderLookup): void {
  const required = message.era === 'modern' && message.kind === 'request'
  checkVersion(message, header('mcp-protocol-version'), required)

  const method = header('mcp-method')
  if (method === undefined ? required : method !== message.method) mismatch('mcp-method')

  const source = nameSource(message)
  if (source === undefined) return
  const name = header('mcp-name')
  if (name === undefined ? required && source.required : decodeValue(name) !== source.value) {
    mismatch('mcp-name')
  }
}

function checkVersion(message: Message, version: string | undefined, required: boolean): void {
  const claimed = versionIn(message)
  if (version === undefined) {
    if (required) mismatch('mcp-protocol-version')
  } else if (claimed === undefined) {
    // A server that goes by the header would take this for a message of the newer era, we for the
    // older. Notifications of the newer era do come without the claim, and demand nothing.
    if (isModernVersion(version) && message.kind !== 'notification') {
      mismatch('mcp-protocol-version')
    }
  } else if (version !== claimed) mismatch('mcp-protocol-version')
}

function versionIn(message: Message): Json | undefined {
  const meta = message.params?._meta
  return isJsonObject(meta) ? meta[PROTOCOL_VERSION_META] : undefined
}

/** What `Mcp-Name` repeats. `tasks/result` is of the older era, which knows no such header. */
function nameSource(message: Message): { value: Json | undefined; required: boolean } | undefined {
  const rule = message.method === undefined ? undefined : ruleOf(message.method)
  if (rule?.token !== 'action') return undefined
  return {
    value: message.params?.[rule.identifier],
    required: message.method !== 'tasks/result',
  }
}

/**
 * Compares `Mcp-Param-{Name}` with the arguments a tool's input schema marks with `x-mcp-header`.
 * A header for an argument that is null or absent is not expected, and ignored when there.
 *
 * @param schema the tool's `inputSchema`
 * @throws {Refusal} `header_mismatch`
 */
export function checkParamHeaders(
  schema: JsonObject,
  args: JsonObject | undefined,
  header: HeaderLookup,
): void {
  for (const { name, type, value } of markedArguments(schema, args ?? {})) {
    const key = `mcp-param-${name.toLowerCase()}`
    const given = header(key)
    const decoded = given === undefined ? undefined : decodeValue(given)
    const equal =
      typeof value === 'number' && type !== 'string' && DECIMAL_FORM.test(decoded ?? '')
        ? Number(decoded) === value
        : decoded === String(value)
    if (!equal) mismatch(key)
  }
}

interface MarkedArgument {
  readonly name: string
  readonly type: Json | undefined
  readonly value: string | number | boolean
}

/** Follows `properties` only: a mark anywhere else makes the definition invalid, and means nothing. */
function* markedArguments(schema: JsonObject, args: JsonObject): Generator<MarkedArgument> {
  if (!isJsonObject(schema.properties)) return
  for (const [member, property] of Object.entries(schema.properties)) {
    const value = Object.hasOwn(args, member) ? args[member] : undefined
    if (!isJsonObject(property) || value === undefined || value === null) continue
    if (isJsonObject(value)) {
      yield* markedArguments(property, value)
      continue
    }
    const name = property['x-mcp-header']
    if (typeof name !== 'string' || !TOKEN_FORM.test(name)) continue
    if (!PARAM_TYPES.has(property.type) || typeof value === 'object') continue
    yield { name, type: property.type, value: value as string | number | boolean }
  }
}

/** A header's value; `undefined` when it is marked as Base64 and is not the canonical form of text. */
function decodeValue(value: string): string | undefined {
  const { start, end } = SENTINEL
  const marked =
    value.startsWith(start) && value.endsWith(end) && value.length >= start.length + end.length
  if (!marked) return value
  const encoded = value.slice(start.length, -end.length)
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.toString('base64') !== encoded || !isUtf8(bytes)) return undefined
  return bytes.toString('utf8')
}

function mismatch(header: string): never {
  refuse({ code: 'header_mismatch', header })
}
