import type { Command } from 'commander'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { ACTION_SCOPE, SESSION_SCOPE } from '../token/claims.ts'
import { decodeJsonSegment, JwsError, splitJws } from '../token/jws.ts'
import { type Answer, CliError } from './answer.ts'
import { addGroup, finish } from './command.ts'
import { readInput, refuseCredential } from './input.ts'
import { instant, table } from './text.ts'

export function addToken(root: Command): void {
  const token = addGroup(root, 'token', 'look at tokens')
  const inspect = token
    .command('inspect')
    .argument('[file]', 'a file that holds the token, or - for standard input', '-')
    .description('decode a token, without verifying it, and say what it is good for')
  finish(inspect, 'writ token inspect token.txt', (_options: object, file = '-') =>
    inspectToken(file, Date.now() / 1000),
  )
}

/**
 * Decodes a token without verifying it, and says what it claims to be good for. Neither the token
 * nor its signature is printed: what is on a screen or in a log must not be usable.
 *
 * @throws {CliError} refused when the text is no token
 */
async function inspectToken(source: string, now: number): Promise<Answer> {
  refuseCredential(source)
  const { header, claims } = decodeToken((await readInput(source)).trim())
  const kind = kindOf(header, claims)
  const expiresInSeconds = typeof claims.exp === 'number' ? claims.exp - now : undefined
  return {
    json: { verified: false, kind, header, claims, expiresInSeconds },
    text: [
      `${KINDS[kind]}. NOT VERIFIED: this is what it says, anyone could have written it.`,
      '',
      table(explain(header, claims, now)),
    ].join('\n'),
  }
}

const KINDS = {
  action: 'An action token, for the MCP action below and nothing else',
  session: 'A session token, for the MCP methods that do nothing',
  svid: 'A JWT-SVID: it proves which workload its holder is, to the audience below',
  proof: 'A DPoP proof: it proves possession of a key, for one request',
  other: 'A JSON Web Token of a kind that Writ does not issue',
}

function decodeToken(text: string): { header: JsonObject; claims: JsonObject } {
  try {
    const segments = splitJws(text)
    return {
      header: decodeJsonSegment(segments.header),
      claims: decodeJsonSegment(segments.payload),
    }
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    throw new CliError('refused', `this is no token in compact form: ${error.message}`)
  }
}

function kindOf(header: JsonObject, claims: JsonObject): keyof typeof KINDS {
  if (header.typ === 'dpop+jwt') return 'proof'
  if (header.typ === 'at+jwt' && claims.scope === ACTION_SCOPE) return 'action'
  if (header.typ === 'at+jwt' && claims.scope === SESSION_SCOPE) return 'session'
  if (typeof claims.sub === 'string' && claims.sub.startsWith('spiffe://')) return 'svid'
  return 'other'
}

function explain(
  header: JsonObject,
  claims: JsonObject,
  now: number,
): [string, string | undefined][] {
  const details = Array.isArray(claims.authorization_details) ? claims.authorization_details : []
  const agent = text(claims.client_id)
  return [
    ['audience', Array.isArray(claims.aud) ? claims.aud.join(', ') : text(claims.aud)],
    ...details.filter(isJsonObject).map(explainDetail),
    ['request', claims.htm === undefined ? undefined : `${claims.htm} ${claims.htu}`],
    ['agent', agent],
    [
      agent === undefined ? 'subject' : 'acts for',
      claims.sub === agent ? undefined : text(claims.sub),
    ],
    ['key', explainKey(claims.cnf)],
    ['issuer', text(claims.iss)],
    ['issued', time(claims.iat, now)],
    ['expires', claims.exp === undefined ? 'never' : time(claims.exp, now)],
    ['token id', text(claims.jti)],
    ['session', text(claims.sid)],
    ['task', text(claims.txn)],
    ['signed by', `${text(header.alg)}, key ${text(header.kid) ?? '(not named)'}`],
  ]
}

function explainDetail(detail: JsonObject): [string, string] {
  const methods = Array.isArray(detail.actions) ? detail.actions.join(', ') : 'nothing'
  const uses =
    detail.max_uses === undefined || detail.max_uses === 1 ? 'once' : `${detail.max_uses} times`
  const parts = [
    `${methods} ${text(detail.identifier) ?? ''}`.trim(),
    detail.arguments_hash === undefined ? undefined : `arguments ${detail.arguments_hash}`,
    detail.input_hash === undefined ? undefined : `input ${detail.input_hash}`,
    detail.definition_hash === undefined ? undefined : `definition ${detail.definition_hash}`,
  ].filter((part) => part !== undefined)
  return ['good for', `${parts.join(', ')}; ${uses}`]
}

function explainKey(cnf: Json | undefined): string | undefined {
  if (cnf === undefined) return undefined
  if (!isJsonObject(cnf)) return '(unreadable)'
  if (typeof cnf.jkt === 'string') return `only with the DPoP key of thumbprint ${cnf.jkt}`
  const certificate = cnf['x5t#S256']
  return typeof certificate === 'string'
    ? `only over TLS with certificate ${certificate}`
    : undefined
}

function text(value: unknown): string | undefined {
  if (value === undefined) return undefined
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function time(value: unknown, now: number): string | undefined {
  return typeof value === 'number' ? instant(value, now) : text(value)
}
