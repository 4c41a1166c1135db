/**
 * Which resource URIs a pinned template names: the reverse of RFC 6570, levels 1 and 2, and stricter.
 *
 * `{name}` stands for one path segment or less, `{+name}` for a path. Neither may be empty, climb
 * (`..`), begin at the root or anew (`/`, `//`) or hide a separator in
 * percent-encoding, because servers decode before they open. For the same reason there is one
 * spelling: `%61dmin` is `admin` to a server and would be another URI to a policy.
 */

import { compilePattern } from './schema/pattern.ts'

/** Longest template that is pinned. */
const MAX_TEMPLATE_LENGTH = 1024
const SEGMENT = String.raw`(?:[A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2})+`
const RESERVED = String.raw`:?#\[\]@!$&'()*+,;=`
/** Not from the root: what a server joins to its folder would take the folder's place. */
const PATH = String.raw`(?:[A-Za-z0-9\-._~${RESERVED}]|%[0-9A-Fa-f]{2})(?:[A-Za-z0-9\-._~/${RESERVED}]|%[0-9A-Fa-f]{2})*`
/** Encoded `.`, `/`, `\`, `%`, or a control character. */
const HIDDEN = /%(?:2[EeFf5]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])/
/** An encoded letter, digit, `-`, `_` or `~` (RFC 3986 §2.3), or hexadecimal digits in lower case (§2.1). */
const SPELT_OTHERWISE = /%(?:2D|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E|[0-9A-F]?[a-f])/
const CLIMBS = /(?:^|[/?#])\.{1,2}(?:[/?#;]|$)/
/** An empty segment, save where an authority begins: behind a scheme, also one within. */
const BEGINS_ANEW = /(?<![A-Za-z0-9+.-]:)(?<!^[A-Za-z][A-Za-z0-9+.-]*:\/)\/\//

export type TemplateMatch = (uri: string) => boolean

/** @throws {Error} when the template uses operators beyond `{name}` and `{+name}` */
export function compileTemplate(template: string): TemplateMatch {
  if (template.length > MAX_TEMPLATE_LENGTH) {
    throw new Error(`the template is longer than ${MAX_TEMPLATE_LENGTH} characters`)
  }
  let pattern = '^'
  let last = 0
  for (const found of template.matchAll(/\{([^{}]*)\}/g)) {
    pattern += literal(template.slice(last, found.index))
    const expression = /^(\+?)[A-Za-z0-9_]+$/.exec(found[1] as string)
    if (expression === null) {
      throw new Error(`{${found[1]}} is not supported; only {name} and {+name} are`)
    }
    pattern += expression[1] === '+' ? PATH : SEGMENT
    last = found.index + found[0].length
  }
  pattern += `${literal(template.slice(last))}$`
  // Linear, because a template with many expressions can split one text in very many ways.
  const fits = compilePattern(pattern)
  return (uri) =>
    fits.test(uri) &&
    ![HIDDEN, SPELT_OTHERWISE, CLIMBS, BEGINS_ANEW].some((wrong) => wrong.test(uri))
}

function literal(text: string): string {
  if (/[{}]/.test(text)) throw new Error('a brace is not closed')
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
}
