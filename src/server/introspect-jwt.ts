/**
 * Introspection answers as signed JWTs (RFC 9701): for who has to show later what it was told, or hears
 * it through somebody it does not trust.
 *
 * They are signed with the key of access tokens. Their `typ`, and that they have neither `sub` nor `exp`
 * of their own, keep them from being taken for one (RFC 9701 §5, §8.1).
 */
import type { JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import { type SigningKey, signJws } from '../token/jws.ts'

const INTROSPECTION_TYP = 'token-introspection+jwt'
export const INTROSPECTION_JWT = `application/${INTROSPECTION_TYP}`

const MAX_ACCEPT_CHARACTERS = 1024
/** One element of the list (RFC 9110 §5.6.1, §12.5.1), which may be empty, and its end. */
const ELEMENT =
  /[\t ]*(?:([!#$%&'*+.^`|~\w-]+\/[!#$%&'*+.^`|~\w-]+)((?:[\t ]*;[\t ]*[!#$%&'*+.^`|~\w-]+=(?:[!#$%&'*+.^`|~\w-]+|"(?:[^"\\]|\\[\t -~])*"))*)[\t ]*)?(?:,|$)/y
const PARAMETER = /;[\t ]*([^=;\t ]+)=("(?:[^"\\]|\\.)*"|[^;\t ]*)/g
const QUALITY = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/

/**
 * The form in which an asker wants its answer: JSON, unless it names the signed form and likes it no
 * less. Undefined when it takes neither.
 *
 * @param accept the request's `Accept`; absent means anything
 * @throws {Refusal} `request_malformed`
 */
export function answerForm(accept: string | undefined): 'json' | 'jwt' | undefined {
  const ranges = accept === undefined ? new Map([['*/*', 1]]) : parseAccept(accept)
  const qualityOf = (type: string) =>
    ranges.get(type) ?? ranges.get('application/*') ?? ranges.get('*/*') ?? 0
  const json = qualityOf('application/json')
  const jwt = qualityOf(INTROSPECTION_JWT)
  if (json === 0 && jwt === 0) return undefined
  if (json === jwt) return ranges.has(INTROSPECTION_JWT) ? 'jwt' : 'json'
  return jwt > json ? 'jwt' : 'json'
}

/** Media ranges in lower case, and how much each is liked: 0 to 1. */
function parseAccept(text: string): ReadonlyMap<string, number> {
  if (text.length > MAX_ACCEPT_CHARACTERS) malformed()
  const ranges = new Map<string, number>()
  ELEMENT.lastIndex = 0
  while (ELEMENT.lastIndex < text.length) {
    const [, range, parameters = ''] = ELEMENT.exec(text) ?? malformed()
    if (range === undefined) continue
    let quality = 1
    let ours = true
    for (const [, name, value = ''] of parameters.matchAll(PARAMETER)) {
      if (name?.toLowerCase() === 'q') {
        if (!QUALITY.test(value)) malformed()
        quality = Number(value)
      } else if (name?.toLowerCase() !== 'charset' || !/^"?utf-8"?$/i.test(value)) {
        // Some other variant of the type, which is not what is served here.
        ours = false
      }
    }
    if (ours) ranges.set(range.toLowerCase(), quality)
  }
  return ranges
}

function malformed(): never {
  refuse({ code: 'request_malformed', detail: 'the Accept header is malformed' })
}

/**
 * @param now seconds since the epoch
 * @param told the answer as it would be in JSON (RFC 7662 §2.2)
 */
export function signIntrospection(
  told: JsonObject,
  { issuer, audience, now }: { issuer: string; audience: string; now: number },
  key: SigningKey,
): string {
  const claims = { iss: issuer, aud: audience, iat: Math.floor(now), token_introspection: told }
  return signJws({ typ: INTROSPECTION_TYP }, claims, key)
}
