/**
 * C2SP's x509-limbo against the path validator that X509-SVIDs go through.
 *
 * What the corpus asks for and Writ does not evaluate (revocation lists, policy trees, S/MIME) is
 * refused whatever it may be; a case that had to be accepted is then a wrong reject with that reason.
 * Names of servers, and the CA/B Forum's rules for cases that are about them, are checked beside the
 * validator (`x509-limbo-web.ts`), because Writ knows peers by SPIFFE IDs only.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Certificate,
  CertificateError,
  parseCertificate,
} from '../../src/identity/x509/certificate.ts'
import { validatePath } from '../../src/identity/x509/path.ts'
import type { CorpusResult } from './result.ts'
import { brokenWebRule, isNamed, type PeerName } from './x509-limbo-web.ts'

interface Case {
  readonly id: string
  readonly features: readonly string[]
  readonly validation_kind: 'SERVER' | 'CLIENT'
  readonly trusted_certs: readonly string[]
  readonly untrusted_intermediates: readonly string[]
  readonly peer_certificate: string
  readonly validation_time: string | null
  readonly signature_algorithms: readonly string[]
  readonly key_usage: readonly string[]
  readonly extended_key_usage: readonly string[]
  readonly expected_result: 'SUCCESS' | 'FAILURE'
  readonly expected_peer_name: PeerName | null
  readonly expected_peer_names: readonly PeerName[]
  readonly max_chain_depth: number | null
  readonly crls?: readonly string[]
}

/** Features by which a case asks for something that Writ does not evaluate, and what that is. */
const NOT_EVALUATED: Readonly<Record<string, string>> = {
  'has-crl': 'revocation lists',
  'has-policy-constraints': 'policy trees',
  'has-cert-policies': 'policy trees',
}

const PURPOSES: Readonly<Record<string, string>> = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
}

const KEY_USAGE_BITS = [
  'digitalSignature',
  'contentCommitment',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
]

export async function run(folder: string): Promise<CorpusResult> {
  const text = await readFile(join(folder, 'x509-limbo.json'), 'utf8')
  return judge(JSON.parse(text).testcases)
}

export function judge(cases: readonly Case[]): CorpusResult {
  const wrongAccepts: string[] = []
  const wrongRejects: { id: string; reason: string }[] = []
  for (const one of cases) {
    const refusal = refusalOf(one)
    const accept = one.expected_result === 'SUCCESS'
    if (refusal === undefined && !accept) wrongAccepts.push(one.id)
    if (refusal !== undefined && accept) wrongRejects.push({ id: one.id, reason: refusal })
  }
  const total = cases.length
  const right = total - wrongAccepts.length - wrongRejects.length
  return { name: 'x509-limbo', total, right, wrongAccepts, wrongRejects }
}

/** Why the case is refused, by the rule that says so; undefined when it is accepted. */
function refusalOf(one: Case): string | undefined {
  const what = notEvaluated(one)
  if (what !== undefined) return `not evaluated: ${what}`
  try {
    const path = validatePath({
      leaf: parseCertificate(derOf(one.peer_certificate)),
      intermediates: one.untrusted_intermediates.flatMap(readable),
      anchors: one.trusted_certs.flatMap(readable),
      now:
        one.validation_time === null ? Date.now() / 1000 : Date.parse(one.validation_time) / 1000,
      purposes: purposesOf(one),
      ...(one.max_chain_depth === null ? {} : { maxDepth: one.max_chain_depth }),
    })
    return refusalOfPeer(one, path)
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    return `${error.check}: ${error.message}${whyUnreadable(one)}`
  }
}

function refusalOfPeer(one: Case, path: readonly Certificate[]): string | undefined {
  const [leaf] = path
  if (leaf === undefined) throw new Error('a path without a leaf')
  for (const name of peerNamesOf(one)) {
    if (!isNamed(leaf, name)) return 'peer name: not that of the certificate'
  }
  for (const usage of one.key_usage) {
    const has = leaf.keyUsage?.bits.has(KEY_USAGE_BITS.indexOf(usage)) ?? true
    if (!has) return 'key_usage: not meant for this'
  }
  if (!one.id.startsWith('webpki::')) return undefined
  const rule = brokenWebRule(one.id, path)
  return rule === undefined ? undefined : `web PKI: ${rule}`
}

function notEvaluated(one: Case): string | undefined {
  if ((one.crls ?? []).length > 0) return 'revocation lists'
  for (const feature of one.features) if (feature in NOT_EVALUATED) return NOT_EVALUATED[feature]
  if (one.signature_algorithms.length > 0) return 'a choice of signature algorithms'
  if (one.extended_key_usage.some((purpose) => !(purpose in PURPOSES))) return 'other purposes'
  if (peerNamesOf(one).some(({ kind }) => kind === 'RFC822')) return 'names of mailboxes'
  return undefined
}

function peerNamesOf(one: Case): readonly PeerName[] {
  if (one.validation_kind === 'CLIENT') return one.expected_peer_names
  return one.expected_peer_name === null ? [] : [one.expected_peer_name]
}

function purposesOf({ extended_key_usage, validation_kind }: Case): string[] {
  const asked = validation_kind === 'SERVER' ? 'serverAuth' : 'clientAuth'
  const named = extended_key_usage.length === 0 ? [asked] : extended_key_usage
  return named.map((purpose) => PURPOSES[purpose] ?? '')
}

/** A certificate that cannot be read leads nowhere; the path may still go another way. */
function readable(pem: string): Certificate[] {
  try {
    return [parseCertificate(derOf(pem))]
  } catch (error) {
    if (error instanceof CertificateError) return []
    throw error
  }
}

/** So that a wrong reject tells the rule, and not only that a certificate was missing. */
function whyUnreadable(one: Case): string {
  const reasons = [...one.trusted_certs, ...one.untrusted_intermediates].flatMap((pem) => {
    try {
      parseCertificate(derOf(pem))
      return []
    } catch (error) {
      return error instanceof CertificateError ? [`${error.check}: ${error.message}`] : []
    }
  })
  return reasons.length === 0 ? '' : ` (left out for ${[...new Set(reasons)].join(', ')})`
}

function derOf(pem: string): Uint8Array {
  return Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64')
}
