/** Which rule a certificate, or a chain of them, broke. */
export type CertificateCheck =
  /** No DER, or a certificate that RFC 5280 §4 does not allow. */
  | 'form'
  /** An extension that is malformed, given twice, or critical and unknown to us. */
  | 'extension'
  | 'algorithm'
  | 'key'
  | 'expiry'
  /** A CA where none may be, none where one must be, or one that says so in the wrong way. */
  | 'authority'
  | 'path_length'
  | 'key_usage'
  | 'ext_key_usage'
  | 'uri_san'
  | 'name_constraints'
  | 'signature'
  /** No way from the leaf to an anchor. */
  | 'chain'
  /** More certificates, bytes or work than is allowed. */
  | 'bounds'

/** A certificate or a chain that is not believed. Never holds a part of one. */
export class CertificateError extends Error {
  readonly check: CertificateCheck

  constructor(check: CertificateCheck, message: string, options?: { cause?: unknown }) {
    // Strangers cause these as often as they like, and a stack costs more than the rest of one.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message, options)
    Error.stackTraceLimit = stackTraceLimit
    this.name = 'CertificateError'
    this.check = check
  }
}
