/** One challenge of a `WWW-Authenticate` header (RFC 9110 §11.3); scheme and names in lower case. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

const MAX_HEADER_CHARACTERS = 8_192
const SEPARATOR = /[\s,]*/y
const TOKEN = /[!#$%&'*+.^_`|~\w-]+/y
const EQUALS = /\s*=\s*/y
const QUOTED = /"((?:[^"\\]|\\.)*)"/y

/**
 * Reads the challenges of one header, in their order. Stops at the first thing that is not one, and
 * keeps what came before: a server that adds an odd scheme must still be able to ask for a nonce.
 */
export function parseChallenges(header: string | null): Challenge[] {
  if (header === null || header.length > MAX_HEADER_CHARACTERS) return []
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const match = pattern.exec(header)
    if (match !== null) at = pattern.lastIndex
    return match
  }
  for (;;) {
    take(SEPARATOR)
    const token = take(TOKEN)?.[0]
    if (token === undefined) return challenges
    if (take(EQUALS) === null) {
      challenges.push({ scheme: token.toLowerCase(), parameters: new Map() })
      continue
    }
    const quoted = take(QUOTED)?.[1]?.replace(/\\(.)/g, '$1')
    const value = quoted ?? take(TOKEN)?.[0]
    const parameters = challenges.at(-1)?.parameters
    if (value === undefined || parameters === undefined) return challenges
    // A parameter may appear once; the first one stands (RFC 9110 §11.2).
    const name = token.toLowerCase()
    if (!parameters.has(name)) parameters.set(name, value)
  }
}
