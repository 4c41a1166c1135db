/**
 * Targets as people write and read them: `<kind>:<value>`, and for agents `/*` at the end for all that
 * is beneath, and ` for <principal>`.
 *
 * A value that could be read as something else in this form (an id that itself ends in `/*`) is written
 * as JSON, so that `parseTargetText(targetText(target))` is always the same target.
 */
import { parseJson } from '../lib/json.ts'
import { parseTarget, TARGET_KINDS, type Target } from './target.ts'

export const TARGET_TEXT_HINT =
  'as in jti:<id>, session:<sid>, agent:spiffe://corp.example/agents/bot, ' +
  "'agent:spiffe://corp.example/agents/*', 'agent:spiffe://corp.example/agents/bot for user:idp:5f2c', " +
  'principal:user:idp:5f2c, task:<label>, key:<thumbprint>, server:https://mcp.example/mcp, ' +
  'issuer:spiffe://corp.example, issuer:oidc:<alias>, before:2026-01-31T08:00:00Z'

/** SPIFFE-ID §2, as `identity/` reads it: an id of another form is no workload's and would stop nothing. */
const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*$/
const RFC_3339 =
  /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i
const FOR = ' for '

/** @throws {TypeError} saying what is wrong, without a full stop */
export function parseTargetText(text: string): Target {
  if (text.startsWith('{')) return parseWritten(text)
  const target = parsePlain(text)
  const { kind, value } = target
  if (kind === 'agent' && !value.startsWith('oidc:') && !SPIFFE_ID.test(value)) {
    throw new TypeError(`"${value}" is no SPIFFE ID`)
  }
  return target
}

/** The inverse of `parseTargetText`, without the quotes that a shell may need. */
export function targetText(target: Target): string {
  const { kind, value, beneath, principal } = target
  const plain = `${kind}:${value}${beneath ? '/*' : ''}${principal === undefined ? '' : FOR + principal}`
  return isReadBack(plain, target) ? plain : JSON.stringify(target)
}

function isReadBack(text: string, { kind, value, beneath, principal }: Target): boolean {
  try {
    const read = parseTargetText(text)
    return (
      read.kind === kind &&
      read.value === value &&
      (read.beneath ?? false) === (beneath ?? false) &&
      read.principal === principal
    )
  } catch {
    return false
  }
}

function parsePlain(text: string): Target {
  const colon = text.indexOf(':')
  const kind = text.slice(0, Math.max(colon, 0))
  const named = text.slice(colon + 1)
  if (!TARGET_KINDS.some((known) => known === kind)) {
    throw new TypeError(`a target begins with its kind, one of ${TARGET_KINDS.join(', ')}`)
  }
  if (kind === 'before') return parseTarget({ kind, value: secondsOf(named) })
  if (kind !== 'agent') {
    if (named.includes('*')) throw new TypeError('only /* at the end of an agent means many')
    return parseTarget({ kind, value: named })
  }
  const [id = '', principal, ...more] = named.split(FOR)
  if (more.length > 0) throw new TypeError('an agent acts for one principal')
  const beneath = id.endsWith('/*')
  const value = beneath ? id.slice(0, -2) : id
  if (value.includes('*')) throw new TypeError('only /* at the end of an agent means many')
  return parseTarget({
    kind,
    value,
    ...(beneath ? { beneath } : {}),
    ...(principal === undefined ? {} : { principal }),
  })
}

function parseWritten(text: string): Target {
  let json: ReturnType<typeof parseJson>
  try {
    json = parseJson(text)
  } catch (error) {
    throw new TypeError('the target is no JSON', { cause: error })
  }
  return parseTarget(json)
}

/** Seconds since the epoch as they are, or an RFC 3339 instant as such. */
function secondsOf(text: string): string {
  const match = RFC_3339.exec(text)
  if (match === null) return text
  const [, year, month, day] = match.map(Number)
  const daysInMonth = new Date(Date.UTC(year ?? 0, month ?? 0, 0)).getUTCDate()
  const ms = Date.parse(text)
  if (Number.isNaN(ms) || (day ?? 0) > daysInMonth) throw new TypeError(`"${text}" is no time`)
  return String(ms / 1000)
}
