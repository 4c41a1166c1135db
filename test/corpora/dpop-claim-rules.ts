/** What can be wrong with the claims of a proof, and with the token it comes with. */

import {
  at,
  elsewhere,
  inCase,
  nothing,
  onUrl,
  type Rule,
  rule,
  scheme,
  seconds,
  set,
} from './dpop-change.ts'
import { clientKey, hashOfToken } from './dpop-draft.ts'

export const CLAIM_RULES: readonly Rule[] = [
  // htm
  rule('htm (?:= ?|is )["\']?([A-Za-z]+)["\']?', ([value]) =>
    value === 'missing' ? undefined : set('htm', value!),
  ),
  rule('htm in (upper|lower|mixed) ?case', ([how]) => (draft) => {
    draft.claims.htm = inCase(String(draft.claims.htm), how!)
  }),
  rule(
    '(?:htm (?:of |= ?|is )?(?:an?other method|a different method|wrong|mismatch(?:ed)?|(?:something )?other than .*|does not match.*)|wrong htm)',
    () => ['GET', 'PUT', 'DELETE'].map((value) => set('htm', value)),
  ),

  // htu
  rule(
    'htu (?:with |has |including )?(?:a |an )?(query|fragment)(?:(?: and|,)? (?:a |an )?(query|fragment))?(?: string| part)?(?: added| appended)?',
    ([first, second]) =>
      (draft) => {
        const parts = [first, second].join().toLowerCase()
        if (parts.includes('query')) draft.claims.htu += '?extra=1'
        if (parts.includes('fragment')) draft.claims.htu += '#extra'
      },
  ),
  rule(
    'htu (?:of |= ?|is |with |for |on )?(?:an?other|a different|the wrong) (host|server|domain|origin|path|endpoint|scheme|port|url|uri|resource)(?: .*)?',
    ([part]) => onUrl(elsewhere(part!)),
  ),
  rule(
    '(?:htu (?:is )?(?:wrong|mismatch(?:ed)?|incorrect|invalid|does not match.*)|(?:wrong|incorrect|invalid) htu)',
    () => ['host', 'path', 'scheme', 'port'].map((part) => onUrl(elsewhere(part))),
  ),
  rule('htu (?:= ?|is )["\']?(https?://\\S+?)["\']?', ([value]) => set('htu', value!)),
  rule(
    'htu (?:with |has )?(?:a |an )?(?:trailing|extra|additional) slash(?: added| appended)?',
    () => onUrl((url) => `${url.origin}${url.pathname}/`),
  ),
  rule(
    'htu (?:with |has )?(?:the |an )?(?:explicit )?default port(?: added)?|htu with (?:explicit )?port (?:443|80)',
    () =>
      onUrl((url) =>
        url.port === ''
          ? `${url.protocol}//${url.hostname}:${url.protocol === 'https:' ? 443 : 80}${url.pathname}`
          : url.href,
      ),
  ),
  rule(
    'htu (?:with |has )?(?:the |a )?(scheme|host|scheme and host|host and scheme|hostname|path)? ?in (upper|mixed) ?case(?: (host|scheme|path))?',
    ([part, how, after]) =>
      onUrl((url) => {
        const place = `${part}${after}`.toLowerCase()
        if (place === 'path') return `${url.origin}${inCase(url.pathname, how!)}`
        return `${inCase(url.origin, how!)}${url.pathname}`
      }),
  ),
  rule(
    'htu (?:with |has )?(?:needless |unnecessary |extra )?(?:percent[- ]encod(?:ing|ed)(?: (?:unreserved )?characters?)?|escapes)',
    () =>
      onUrl(
        (url) =>
          `${url.origin}${url.pathname.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`)}`,
      ),
  ),
  rule('htu (?:with |has )?dot[- ]segments?', () =>
    onUrl((url) => `${url.origin}/x/..${url.pathname}`),
  ),
  rule('(?:a )?relative htu|htu (?:is |= ?)?(?:relative|a path(?: only)?|only a path)', () =>
    onUrl((url) => url.pathname),
  ),

  // iat and other times
  rule(
    '(iat|exp|nbf)(?: is| of)? (?:outside|not (?:in|within)|beyond) (?:the )?(?:(?:acceptance|acceptable|allowed) )?(?:time )?window',
    ([name]) => [-3600, -303, 303, 3600].map((offset) => at(name!, offset)),
  ),
  rule(
    '(iat|exp|nbf) (?:= ?|is |of )?(?:now|server clock|server time|current time|clock)(?: ?([+\u2212\u2013-]) ?(\\d+(?:\\.\\d+)?) ?([a-z]*))?',
    ([name, sign, amount, unit]) =>
      at(name!, (sign === '' ? 0 : sign === '+' ? 1 : -1) * seconds(amount! || '0', unit!)),
  ),
  rule(
    '(iat|exp|nbf) (?:= ?|is |of )?(\\d+(?:\\.\\d+)?) ?(s|secs?|seconds?|m|min|mins|minutes?|h|hours?|days?) (ago|in the past|old|before(?: .*)?|earlier|behind(?: .*)?|in the future|ahead(?: .*)?|later|after(?: .*)?)',
    ([name, amount, unit, where]) =>
      at(name!, (/future|ahead|later|after/i.test(where!) ? 1 : -1) * seconds(amount!, unit!)),
  ),
  rule('iat (?:is )?(?:too old|expired|stale|(?:far )?in the past|long ago)', () => [
    at('iat', -303),
    at('iat', -86_400),
  ]),
  rule('iat (?:is )?(?:too new|(?:far |too far )?in the future)', () => [
    at('iat', 303),
    at('iat', 86_400),
  ]),
  rule('iat (?:= ?|is )(-?\\d+)', ([value]) => set('iat', Number(value))),
  rule('iat (?:= ?|is )?in milliseconds', () => (draft, { now }) => {
    draft.claims.iat = Math.floor(now * 1000)
  }),

  // jti
  rule(
    '(?:jti (?:is )?(?:reused|replayed|repeated|used (?:twice|before)|already used)|(?:same|reused|replayed|repeated) (?:jti|proof)(?: .*)?|proof (?:is )?(?:replayed|reused|sent twice|used twice))',
    () => (draft) => {
      draft.replayed = true
    },
  ),
  rule(
    'jti (?:is |of )?(?:too long|oversized|very long|(\\d+) (?:characters|bytes)(?: long)?)',
    ([length]) => set('jti', 'j'.repeat(Number(length || 5000))),
  ),

  // ath and the token
  rule(
    '(?:ath (?:is |= ?|of |for )?(?:an?other(?: access)? token|a different(?: access)? token|wrong|mismatch(?:ed)?|incorrect|invalid|altered|does not match.*|(?:something )?other than .*)|(?:wrong|incorrect|invalid) ath)',
    () => [set('ath', hashOfToken('another token')), set('ath', 'not-the-right-hash')],
  ),
  rule('ath (?:with |in )?(padding|hex|base64)', ([how]) => (draft) => {
    const hash = Buffer.from(String(draft.claims.ath), 'base64url')
    const hex = how!.toLowerCase() === 'hex'
    draft.claims.ath = hex ? hash.toString('hex') : hash.toString('base64')
  }),
  rule(
    '(?:authorization )?scheme (?:= ?|is )?["\']?(bearer|dpop|basic)["\']?(?: .*)?|(bearer) scheme(?: .*)?',
    ([a, b]) => scheme(a || b!),
  ),
  rule('(?:authorization )?scheme(?: name)? in (upper|lower|mixed) ?case', ([how]) =>
    scheme(inCase('DPoP', how!)),
  ),
  rule(
    '(?:access )?token bound to (?:an?other|a different) key|cnf\\.?jkt (?:mismatch|does not match.*|of an?other key)|(?:wrong|mismatched) cnf\\.?jkt',
    () =>
      (draft, { key }) => {
        draft.token.boundTo = clientKey(key.algorithm, 'stranger')
      },
  ),
  rule(
    '(?:access )?token (?:for|of|with) (?:an?other|a different|the wrong) (?:audience|server|resource)|(?:wrong|another) audience',
    () => (draft) => {
      draft.token.audience = 'https://not-this-server.example/mcp'
    },
  ),
  rule('(?:an )?expired access token|access token (?:is )?expired', () => (draft) => {
    draft.token.expired = true
  }),

  // nonce
  rule(
    'nonce (?:is )?(?:not (?:one )?(?:recently )?(?:supplied|issued|given|provided)(?: .*)?|unknown|wrong|incorrect|invalid|stale|expired|old|mismatch(?:ed)?|altered|does not match.*|(?:something )?other than .*)|(?:wrong|unknown|invalid|stale|expired) nonce',
    () => [
      set('nonce', 'definitely-not-the-server-nonce'),
      (draft) => {
        draft.claims.nonce = [...String(draft.claims.nonce)].reverse().join('')
      },
    ],
  ),
  rule(
    '(?:nonce (?:is )?(?:correct|matching|valid|recent|current|the one supplied.*)|(?:correct|matching|valid|recent|supplied) nonce)',
    () => nothing,
  ),
]
