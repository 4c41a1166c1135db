import { refuse } from '../refusal.ts'

/** A SPIFFE ID that follows the grammar; whether anyone vouches for it is another question. */
export interface SpiffeId {
  readonly trustDomain: string
  /** Empty for the id of a trust domain, else `/` and segments joined by `/`. */
  readonly path: string
  /** The id as it was written; it has only one spelling. */
  readonly text: string
}

/** SPIFFE-ID §2.3: implementations support ids up to this length; all characters are one byte. */
export const MAX_SPIFFE_ID_BYTES = 2048
const MAX_TRUST_DOMAIN_BYTES = 255

const TRUST_DOMAIN = `[a-z0-9._-]{1,${MAX_TRUST_DOMAIN_BYTES}}`
// One segment: no `.`, no `..`, never empty. What follows a segment is `/` or the end, so the
// pattern has one way to match any text and takes linear time.
const SEGMENT = '(?!\\.{1,2}(?:/|$))[A-Za-z0-9._-]+'

const SPIFFE_ID = new RegExp(`^spiffe://(${TRUST_DOMAIN})((?:/${SEGMENT})*)$`)
const TRUST_DOMAIN_NAME = new RegExp(`^${TRUST_DOMAIN}$`)

/**
 * Reads a SPIFFE ID (SPIFFE-ID §2) by one strict pattern. No URL parser is involved: those
 * normalise (case, dots, escapes, default ports), and two spellings of one id would be two names.
 *
 * @throws {Refusal} `identity_invalid`, check `spiffe_id`
 */
export function parseSpiffeId(text: string): SpiffeId {
  const match = partsOf(text)
  if (match === null) return refuse({ code: 'identity_invalid', check: 'spiffe_id' })
  return { trustDomain: match[1] ?? '', path: match[2] ?? '', text }
}

/** Whether `text` is the SPIFFE ID of a workload; that of a trust domain, without a path, is of none. */
export function isSpiffeWorkload(text: string): boolean {
  const match = partsOf(text)
  return match !== null && match[2] !== ''
}

function partsOf(text: string): RegExpExecArray | null {
  return typeof text === 'string' && text.length <= MAX_SPIFFE_ID_BYTES
    ? SPIFFE_ID.exec(text)
    : null
}

/** Whether `text` is the name of a trust domain (SPIFFE-ID §2.1), as in `corp.example`. */
export function isTrustDomainName(text: string): boolean {
  return TRUST_DOMAIN_NAME.test(text)
}
