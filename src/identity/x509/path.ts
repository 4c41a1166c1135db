/**
 * Builds and validates certification paths (RFC 5280 §6, as far as SPIFFE uses it).
 *
 * The search goes from the leaf up and tries every way, since a broken or expired cross-certificate
 * must not hide a good path. Signatures are checked last and from the anchor down, so a key is used only
 * after somebody trusted has signed for it: else a stranger could choose keys whose signatures take long to
 * check. Who sends the certificates also decides how many ways there are, so both are counted.
 */
import { checkAnchor, checkAuthority, isSelfIssued, PURPOSE, sameBytes } from './authority.ts'
import type { Certificate } from './certificate.ts'
import { CertificateError } from './certificate-error.ts'

export interface PathRequest {
  readonly leaf: Certificate
  /** What came along with the leaf, in any order; none of it is trusted. */
  readonly intermediates: readonly Certificate[]
  /** Where a path may end. Not looked for among the intermediates, and need not be self-signed. */
  readonly anchors: readonly Certificate[]
  /** Seconds since the epoch. */
  readonly now: number
  /** The most intermediates in a path, self-issued ones included; 8 by default. */
  readonly maxDepth?: number
  /** Object identifiers. Whoever has an extended key usage, leaf or CA, must have all of these. */
  readonly purposes?: readonly string[]
}

const MAX_DEPTH = 8
const MAX_SIGNATURE_CHECKS = 100
/** Issuers that fit by name are cheap to look at, but there can be very many ways through them. */
const MAX_STEPS = 1_000

/**
 * Finds a valid path from the leaf to an anchor.
 *
 * @returns the leaf, the intermediates, the anchor
 * @throws {CertificateError} with what was wrong with the issuer that came closest, or `chain` when
 *   there was none
 */
export function validatePath(request: PathRequest): Certificate[] {
  const { leaf, now, purposes = [] } = request
  if (leaf.basicConstraints?.ca === true) {
    throw new CertificateError('authority', 'the leaf is a CA')
  }
  checkValidity(leaf, now)
  if (leaf.extKeyUsage !== undefined && !purposes.every((one) => leaf.extKeyUsage?.includes(one))) {
    throw new CertificateError('ext_key_usage', 'the leaf is not meant for this')
  }
  // RFC 5280 §4.2.1.1: only what a CA signs for itself may go without.
  if (leaf.authorityKeyId === undefined) {
    throw new CertificateError('chain', 'a leaf without an authority key identifier')
  }
  return new Search(request).from(leaf)
}

class Search {
  readonly #request: PathRequest
  readonly #maxDepth: number
  readonly #holders = new Map<Certificate, string>()
  readonly #verdicts = new Map<Certificate, Map<Certificate, boolean>>()
  #signatureChecks = 0
  #steps = 0
  #closest: CertificateError | undefined

  constructor(request: PathRequest) {
    this.#request = request
    this.#maxDepth = request.maxDepth ?? MAX_DEPTH
  }

  from(leaf: Certificate): Certificate[] {
    const path = this.#extend([leaf], 0)
    if (path !== undefined) return path
    throw this.#closest ?? new CertificateError('chain', 'no path to a trusted authority')
  }

  /** @param counted the intermediates so far that a path length counts (RFC 5280 §6.1.4 (l)) */
  #extend(path: readonly Certificate[], counted: number): Certificate[] | undefined {
    const child = path[path.length - 1]
    if (child === undefined) return undefined
    for (const anchor of this.#request.anchors) {
      if (!this.#mayVouch(anchor, child, { counted, check: checkAnchor })) continue
      const whole = [...path, anchor]
      if (this.#isSigned(whole)) return whole
    }
    if (path.length > this.#maxDepth) return undefined
    for (const issuer of this.#request.intermediates) {
      if (!this.#mayVouch(issuer, child, { counted, check: checkAuthority })) continue
      // One name with one key comes once, however many certificates it has (no circles).
      if (path.some((one) => this.#holderOf(one) === this.#holderOf(issuer))) continue
      const found = this.#extend([...path, issuer], counted + (isSelfIssued(issuer) ? 0 : 1))
      if (found !== undefined) return found
    }
    return undefined
  }

  /** Whether `issuer` may have issued `child`, by all but the signature. What is wrong with it is kept. */
  #mayVouch(
    issuer: Certificate,
    child: Certificate,
    { counted, check }: { counted: number; check: (certificate: Certificate) => void },
  ): boolean {
    if (!sameBytes(issuer.subject, child.issuer)) return false
    if (!keyIdentifiersAgree(issuer, child)) return false
    this.#steps += 1
    if (this.#steps > MAX_STEPS) throw new CertificateError('bounds', 'too many ways to go')
    try {
      check(issuer)
      checkValidity(issuer, this.#request.now)
      this.#checkPurposes(issuer)
      const pathLength = issuer.basicConstraints?.pathLength
      if (pathLength !== undefined && counted > pathLength) {
        throw new CertificateError('path_length', 'more intermediates than the CA allows')
      }
      return true
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error
      this.#closest ??= error
      return false
    }
  }

  #checkPurposes({ extKeyUsage }: Certificate): void {
    if (extKeyUsage === undefined || extKeyUsage.includes(PURPOSE.any)) return
    if (!(this.#request.purposes ?? []).every((one) => extKeyUsage.includes(one))) {
      throw new CertificateError('ext_key_usage', 'the CA may not issue for this')
    }
  }

  /** From the anchor, the last of them, down to the leaf. */
  #isSigned(path: readonly Certificate[]): boolean {
    for (let above = path.length - 1; above > 0; above -= 1) {
      if (this.#signatureVerifies(path[above]!, path[above - 1]!)) continue
      this.#closest ??= new CertificateError('signature', 'the issuer did not sign this')
      return false
    }
    return true
  }

  #holderOf(certificate: Certificate): string {
    const known = this.#holders.get(certificate)
    if (known !== undefined) return known
    const key = certificate.publicKey.export({ type: 'spki', format: 'der' })
    const holder = Buffer.concat([certificate.subject, key]).toString('latin1')
    this.#holders.set(certificate, holder)
    return holder
  }

  #signatureVerifies(issuer: Certificate, child: Certificate): boolean {
    const known = this.#verdicts.get(child)?.get(issuer)
    if (known !== undefined) return known
    this.#signatureChecks += 1
    if (this.#signatureChecks > MAX_SIGNATURE_CHECKS) {
      throw new CertificateError('bounds', 'too many signatures to check')
    }
    const verdict = child.signatureVerifies(issuer)
    const verdicts = this.#verdicts.get(child) ?? new Map<Certificate, boolean>()
    this.#verdicts.set(child, verdicts.set(issuer, verdict))
    return verdict
  }
}

/** RFC 5280 §4.1.2.5: both ends are inclusive, and time is told in whole seconds. */
function checkValidity({ notBefore, notAfter }: Certificate, now: number): void {
  const second = Math.floor(now)
  // Written so that a `now` that is not a number refuses.
  if (!(second >= notBefore && second <= notAfter)) {
    throw new CertificateError('expiry', 'expired, or not yet valid')
  }
}

/** Two authorities may have one name; the identifier tells which key is meant. */
function keyIdentifiersAgree(issuer: Certificate, child: Certificate): boolean {
  if (issuer.subjectKeyId === undefined || child.authorityKeyId === undefined) return true
  return sameBytes(issuer.subjectKeyId, child.authorityKeyId)
}
