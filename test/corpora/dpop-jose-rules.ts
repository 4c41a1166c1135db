/** What can be wrong with the header field, the JOSE header, the signature and the key. */

import {
  algorithm,
  alter,
  fields,
  fieldText,
  inCase,
  leaveOut,
  nothing,
  type Rule,
  rule,
  set,
} from './dpop-change.ts'
import { clientKey } from './dpop-draft.ts'

const MEMBERS = 'jti|htm|htu|iat|ath|nonce|typ|alg|jwk|exp|nbf'

export const JOSE_RULES: readonly Rule[] = [
  // The header field itself.
  rule(
    '(?:a |the )?(?:correct|valid|good|unchanged|normal) (?:dpop )?proof(?: .*)?',
    () => nothing,
  ),
  rule('dpop header name in (upper|lower|mixed) ?case(?: letters)?', ([how]) => (draft) => {
    draft.fieldName = inCase('DPoP', how!)
  }),
  rule('(?:no|without(?: a)?|missing) dpop (?:header|proof)(?: field)?', () => fields(0)),
  rule('dpop (?:header|proof)(?: field)? (?:is )?(?:missing|absent|omitted)', () => fields(0)),
  rule(
    '(?:two|2|multiple|several|more than one|duplicate|duplicated) dpop (?:headers?|proofs?)(?: fields?)?(?: present| sent)?',
    () => fields(2),
  ),
  rule(
    '(?:dpop (?:header|proof)(?: is| =)? )?(?:not a (?:single,? )?(?:well-formed )?jwt|malformed|garbage|not a jws)(?: (?:dpop )?(?:header|proof))?',
    () => ['this-is-not-a-jwt', 'a.b', 'a.b.c', '{}'].map(fieldText),
  ),
  rule('(?:dpop )?(?:header|proof)(?: is| =)? ?(?:empty|blank)|empty dpop (?:header|proof)', () =>
    fieldText(''),
  ),

  // Any member: missing, or of another type or value.
  rule(`(?:no |missing |without )(${MEMBERS})(?: claim| header| parameter| member)?`, ([name]) =>
    leaveOut(name!),
  ),
  rule(
    `(${MEMBERS})(?: claim| header| parameter| member)? (?:is )?(?:missing|absent|omitted|removed|not present)`,
    ([name]) => leaveOut(name!),
  ),
  rule(`(${MEMBERS})(?: claim)? (?:is |= ?)?(?:an )?empty(?: string)?`, ([name]) => set(name!, '')),
  rule(`(${MEMBERS})(?: claim)? (?:is |= ?)?null`, ([name]) => set(name!, null)),
  rule(
    `(${MEMBERS})(?: claim)? (?:is |= ?|as )(?:not a (?:string|number)|an array|an object|a boolean|of (?:the )?wrong type)`,
    ([name]) => [['a'], { a: 1 }, true].map((value) => set(name!, value)),
  ),
  rule('iat (?:is |= ?|as )(?:a string|text)', () => (draft) => {
    draft.claims.iat = String(draft.claims.iat)
  }),
  rule(`(?:additional|extra|unknown|unrecognised|unrecognized) (?:claims?|members?)(?: .*)?`, () =>
    set('something', 'else'),
  ),
  rule(
    '(?:additional|extra|unknown|unrecognised|unrecognized) (?:jose )?header(?: parameters?| members?)?(?: .*)?',
    () => (draft) => {
      draft.header.something = 'else'
    },
  ),
  rule('(?:header (?:has|with) )?crit(?: header)?(?: .*)?', () => (draft) => {
    draft.header.crit = ['something']
    draft.header.something = 'else'
  }),

  // typ
  rule(
    'typ (?:= ?|is |of )?(?:something )?(?:other than|not) dpop\\+jwt|(?:wrong|invalid) typ|typ (?:is )?(?:wrong|invalid)',
    () => ['jwt', 'JWT', 'at+jwt', 'dpop', 'jws', 5].map((value) => set('typ', value)),
  ),
  rule('typ (?:= ?|is )["\']?(?!not |something |null|empty|an? )(\\S+?)["\']?', ([value]) =>
    set('typ', value!),
  ),
  rule('typ in (upper|lower|mixed) ?case', ([how]) => set('typ', inCase('dpop+jwt', how!))),

  // alg and the signature
  rule(
    '(?:alg (?:= ?|is )?|signed (?:with|by|using) |using |)["\']?((?:none|hs|es|rs|ps|ed)[a-z0-9]*)["\']?(?:[ -](?:signed )?(?:proof|algorithm|alg))?',
    ([name]) => algorithm(name!),
  ),
  rule(
    '(?:alg (?:= ?|is |of )?)?(?:a )?(?:hmac|symmetric|mac)(?:[ -](?:signed|signature|based))?(?: algorithm| alg| key| proof)*(?: with .*)?',
    () => ['HS256', 'HS384', 'HS512'].flatMap((name) => algorithm(name) ?? []),
  ),
  rule('(?:an )?unsigned (?:proof|jwt)|proof (?:is )?unsigned', () => algorithm('none')),
  rule(
    'alg (?:= ?|is )?(?:(?:something )?(?:unknown|unsupported|unregistered|not supported|invalid))',
    () => ['XX256', 'ES256K', 'A128GCM'].map((value) => set('alg', value)),
  ),
  rule(
    '(?:signature|proof)(?: is)? (?:altered|tampered|tampered with|modified|changed|corrupted|invalid|wrong|broken|bad|does not verify)|(?:altered|tampered|modified|corrupted|invalid|wrong|broken|bad) signature',
    () => [alter(0), alter(31), alter(-1)],
  ),
  rule(
    '(?:signature (?:is )?(?:missing|empty|absent|removed|stripped)|(?:no|missing|empty) signature)',
    () => (draft) => {
      draft.alterSignature = () => Buffer.alloc(0)
    },
  ),
  rule('signature (?:is )?(?:truncated|shortened|too short)', () => (draft) => {
    draft.alterSignature = (signature) => signature.subarray(0, -1)
  }),
  rule(
    '(?:proof )?signed (?:with|by|using) (?:an?other|a different|the wrong|some other) key(?: than .*)?|jwk (?:is |= ?|of )?(?:an?other|a different|the wrong) key(?: than .*)?|jwk (?:does not match|not matching).*',
    () =>
      (draft, { key }) => {
        draft.signer = clientKey(key.algorithm, 'stranger')
      },
  ),

  // jwk
  rule(
    '(?:jwk (?:with|has|contains|includes|is) |)(?:an? |the )?private (?:key|members?)(?: (?:in|inside|included in|embedded in) (?:the )?jwk(?: header)?)?',
    () =>
      (draft, { key }) => {
        draft.header.jwk = key.privateJwk
      },
  ),
  rule('jwk (?:is |= ?|with )?(?:an? )?(?:symmetric|oct)(?: key)?', () =>
    set('jwk', { kty: 'oct', k: 'c2VjcmV0' }),
  ),
  rule(
    '(?:jwk )?(?:an? )?rsa (?:key )?(?:of|with|under) (?:only )?(\\d+) bits?',
    ([bits]) =>
      (draft) => {
        const weak = clientKey(
          'PS256',
          'client',
          Number(bits) < 2048 ? Math.min(Number(bits), 1024) : Number(bits),
        )
        draft.signer = weak
        draft.header.alg = 'PS256'
        draft.header.jwk = weak.publicJwk
      },
  ),
  rule('(?:a )?kid (?:instead of|in place of) (?:a |the )?jwk', () => (draft) => {
    draft.header.jwk = undefined
    draft.header.kid = 'a-key'
  }),
]
