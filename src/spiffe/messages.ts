/** Reads the messages of the Workload API into what they mean. */

import { parseSpiffeId, type SpiffeId } from '../identity/spiffe-id.ts'
import { elementsOf, TAG } from '../identity/x509/der.ts'
import { quotable, SpiffeError } from './error.ts'
import type { X509SvidResponse } from './protocol.ts'
import { believe, readPrivateKey, type SvidMaterial, type X509Context } from './x509-context.ts'

const MAX_SVIDS = 64
const MAX_CERTIFICATES = 256
const MAX_BUNDLES = 1_000

/**
 * The whole state in one message of FetchX509SVID. The bytes of the keys are erased from the message.
 *
 * @param now seconds since the epoch
 * @throws {SpiffeError} `identity_invalid`, `identity_expired`: the message must be discarded
 */
export function readX509Context(message: X509SvidResponse, now: number): X509Context {
  try {
    if (message.svids.length > MAX_SVIDS) throw invalid(`more than ${MAX_SVIDS} X.509-SVIDs`)
    const bundles = readX509Bundles(message.federated_bundles)
    const own = new Map<string, Buffer>()
    const materials = message.svids.map((svid): SvidMaterial => {
      const { text, trustDomain } = idOf(svid.spiffe_id)
      const before = own.get(trustDomain)
      // Two bundles for one domain: which of them counts would depend on the order.
      if (before?.equals(svid.bundle) === false || bundles.has(trustDomain)) {
        throw invalid(`there are two bundles of ${trustDomain}`)
      }
      own.set(trustDomain, svid.bundle)
      const privateKey = readPrivateKey(svid.x509_svid_key)
      return { spiffeId: text, hint: svid.hint, chain: split(svid.x509_svid), privateKey }
    })
    for (const [trustDomain, bundle] of own) {
      if (bundle.length === 0)
        throw invalid(`an X.509-SVID comes without a bundle of ${trustDomain}`)
      bundles.set(trustDomain, split(bundle))
    }
    return believe(materials, bundles, now)
  } finally {
    for (const { x509_svid_key } of message.svids) x509_svid_key.fill(0)
  }
}

/**
 * DER authorities by the name of the trust domain.
 *
 * @throws {SpiffeError} `identity_invalid`
 */
export function readX509Bundles(
  bundles: Readonly<Record<string, Buffer>>,
): Map<string, readonly Uint8Array[]> {
  const read = new Map<string, readonly Uint8Array[]>()
  for (const [name, bytes] of entriesOf(bundles)) read.set(name, split(bytes))
  return read
}

/**
 * JWK Sets, unread, by the name of the trust domain.
 *
 * @throws {SpiffeError} `identity_invalid`
 */
export function readJwtBundles(bundles: Readonly<Record<string, Buffer>>): Map<string, Uint8Array> {
  const read = new Map<string, Uint8Array>()
  for (const [name, bytes] of entriesOf(bundles)) read.set(name, new Uint8Array(bytes))
  return read
}

function entriesOf(bundles: Readonly<Record<string, Buffer>>): [string, Buffer][] {
  const entries = Object.entries(bundles)
  if (entries.length > MAX_BUNDLES) throw invalid(`more than ${MAX_BUNDLES} bundles`)
  return entries.map(([key, bytes]) => {
    const { trustDomain, path } = idOf(key)
    if (path !== '') throw invalid(`"${quotable(key)}" is no trust domain`)
    return [trustDomain, bytes]
  })
}

function idOf(text: string): SpiffeId {
  try {
    return parseSpiffeId(text)
  } catch {
    throw invalid(`"${quotable(text)}" is no SPIFFE ID`)
  }
}

/** Certificates in DER, one after the other; copies, so that they do not keep the message alive. */
function split(bytes: Buffer): readonly Uint8Array[] {
  let elements: ReturnType<typeof elementsOf>
  try {
    elements = elementsOf(bytes)
  } catch {
    throw invalid('certificates are not in DER')
  }
  if (elements.length > MAX_CERTIFICATES)
    throw invalid(`more than ${MAX_CERTIFICATES} certificates`)
  if (elements.some(({ tag }) => tag !== TAG.sequence)) throw invalid('certificates are not in DER')
  return elements.map(({ whole }) => Uint8Array.from(whole))
}

function invalid(what: string): SpiffeError {
  return new SpiffeError('identity_invalid', `the Workload API's answer cannot be used: ${what}`)
}
