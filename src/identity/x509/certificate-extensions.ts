import { isIP } from 'node:net'
import { CertificateError } from './certificate-error.ts'
import {
  booleanOf,
  DerError,
  DerReader,
  elementsOf,
  namedBitsOf,
  oidOf,
  onlyContent,
  readerOf,
  smallIntegerOf,
  TAG,
} from './der.ts'

export interface BasicConstraints {
  readonly critical: boolean
  readonly ca: boolean
  readonly pathLength: number | undefined
}

/** The bits of `KeyUsage` that are asked about, by number (RFC 5280 §4.2.1.3). */
export const KEY_USAGE = { digitalSignature: 0, keyCertSign: 5, cRLSign: 6 } as const

export interface KeyUsage {
  readonly critical: boolean
  readonly bits: ReadonlySet<number>
}

export interface SubjectAltName {
  readonly critical: boolean
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
}

/** What a certificate says by extensions; undefined where it has none. */
export interface Extensions {
  readonly basicConstraints: BasicConstraints | undefined
  readonly keyUsage: KeyUsage | undefined
  /** Object identifiers. */
  readonly extKeyUsage: readonly string[] | undefined
  readonly subjectAltName: SubjectAltName | undefined
  readonly subjectKeyId: Uint8Array | undefined
  readonly authorityKeyId: Uint8Array | undefined
  readonly hasNameConstraints: boolean
}

const OID = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  policyMappings: '2.5.29.33',
  authorityKeyId: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extKeyUsage: '2.5.29.37',
  inhibitAnyPolicy: '2.5.29.54',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
} as const

/** Read and checked wherever they stand, so they may be critical. */
const MAY_BE_CRITICAL: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.subjectAltName,
  OID.extKeyUsage,
  OID.nameConstraints,
])

/** They change what a path means even when not critical, and no policy tree is kept here. */
const NEVER: ReadonlySet<string> = new Set([
  OID.policyMappings,
  OID.policyConstraints,
  OID.inhibitAnyPolicy,
])

const MAX_EXTENSIONS = 32
const MAX_NAMES = 128

interface Extension {
  readonly critical: boolean
  readonly value: Uint8Array
}

/**
 * Reads the content of `Extensions` (RFC 5280 §4.2). What it does not know and is not critical is
 * left out; everything else is understood or refused.
 *
 * @throws {CertificateError} `extension`; {DerError} for what is no DER
 */
export function parseExtensions(content: Uint8Array): Extensions {
  const found = new Map<string, Extension>()
  const elements = elementsOf(content)
  if (elements.length === 0) throw new DerError('an empty list of extensions')
  if (elements.length > MAX_EXTENSIONS) throw new CertificateError('bounds', 'too many extensions')
  for (const element of elements) {
    if (element.tag !== TAG.sequence) throw new DerError('no extension')
    const reader = new DerReader(element.content)
    const oid = oidOf(reader.expect(TAG.oid).content)
    const flag = reader.optional(TAG.boolean)
    const critical = flag !== undefined && booleanOf(flag.content)
    if (flag !== undefined && !critical) throw new DerError('a default written out')
    const value = reader.expect(TAG.octetString).content
    reader.end()
    if (found.has(oid)) refuse(`extension ${oid} is there twice`)
    if (NEVER.has(oid)) refuse(`extension ${oid} is not evaluated`)
    if (critical && !MAY_BE_CRITICAL.has(oid)) refuse(`extension ${oid} is critical`)
    found.set(oid, { critical, value })
  }
  checkInfoAccess(found.get(OID.authorityInfoAccess))
  return {
    basicConstraints: read(found.get(OID.basicConstraints), parseBasicConstraints),
    keyUsage: read(found.get(OID.keyUsage), parseKeyUsage),
    extKeyUsage: read(found.get(OID.extKeyUsage), parseExtKeyUsage),
    subjectAltName: read(found.get(OID.subjectAltName), parseSubjectAltName),
    subjectKeyId: read(found.get(OID.subjectKeyId), parseSubjectKeyId),
    authorityKeyId: read(found.get(OID.authorityKeyId), parseAuthorityKeyId),
    hasNameConstraints: found.has(OID.nameConstraints),
  }
}

function refuse(message: string): never {
  throw new CertificateError('extension', message)
}

function read<T>(extension: Extension | undefined, parse: (one: Extension) => T): T | undefined {
  return extension === undefined ? undefined : parse(extension)
}

function parseBasicConstraints({ critical, value }: Extension): BasicConstraints {
  const reader = readerOf(value, TAG.sequence)
  const flag = reader.optional(TAG.boolean)
  const ca = flag !== undefined && booleanOf(flag.content)
  if (flag !== undefined && !ca) throw new DerError('a default written out')
  const length = reader.optional(TAG.integer)
  reader.end()
  // RFC 5280 §4.2.1.9: pathLenConstraint has a meaning for a CA only.
  if (length !== undefined && !ca) refuse('a path length without cA')
  const pathLength = length === undefined ? undefined : smallIntegerOf(length.content)
  return { critical, ca, pathLength }
}

function parseKeyUsage({ critical, value }: Extension): KeyUsage {
  const reader = new DerReader(value)
  const bits = namedBitsOf(reader.expect(TAG.bitString).content)
  reader.end()
  if (bits.length === 0) refuse('a key usage that allows nothing')
  if (bits.some((bit) => bit > 8)) refuse('a key usage that does not exist')
  return { critical, bits: new Set(bits) }
}

function parseExtKeyUsage({ value }: Extension): string[] {
  const purposes = elementsOf(onlyContent(value, TAG.sequence)).map(({ tag, content }) => {
    if (tag !== TAG.oid) throw new DerError('no oid')
    return oidOf(content)
  })
  if (purposes.length === 0) refuse('an extended key usage without a purpose')
  return purposes
}

function parseSubjectKeyId({ value }: Extension): Uint8Array {
  const reader = new DerReader(value)
  const id = reader.expect(TAG.octetString).content
  reader.end()
  if (id.length === 0) refuse('an empty key identifier')
  return id
}

/** RFC 5280 §4.2.1.1: by key identifier; by name and serial number is what SPIFFE does not use. */
function parseAuthorityKeyId({ value }: Extension): Uint8Array {
  const reader = readerOf(value, TAG.sequence)
  const id = reader.optional(0x80)?.content
  if (!reader.ended) refuse('an issuer named by more than its key identifier')
  if (id === undefined || id.length === 0) refuse('an authority key identifier without one')
  return id
}

// Never followed; but what is not what it says it is does not belong into a certificate.
function checkInfoAccess(extension: Extension | undefined): void {
  if (extension === undefined) return
  const descriptions = elementsOf(onlyContent(extension.value, TAG.sequence))
  if (descriptions.length === 0) refuse('no access description')
  for (const { tag, content } of descriptions) {
    if (tag !== TAG.sequence) throw new DerError('no access description')
    const reader = new DerReader(content)
    oidOf(reader.expect(TAG.oid).content)
    reader.next()
    reader.end()
  }
}

function parseSubjectAltName({ critical, value }: Extension): SubjectAltName {
  const names = elementsOf(onlyContent(value, TAG.sequence))
  if (names.length === 0) refuse('no subject alternative name')
  if (names.length > MAX_NAMES) throw new CertificateError('bounds', 'too many names')
  const uris: string[] = []
  const dnsNames: string[] = []
  for (const { tag, content } of names) {
    if (tag === 0x86) uris.push(printableOf(content))
    else if (tag === 0x82) dnsNames.push(dnsNameOf(content))
    else if (tag === 0x81) printableOf(content)
    else if (tag === 0x87 && content.length !== 4 && content.length !== 16) refuse('no address')
    else if (!OTHER_NAMES.has(tag)) throw new DerError('no general name')
  }
  return { critical, uris, dnsNames }
}

/** otherName, x400Address, directoryName, ediPartyName, iPAddress, registeredID. */
const OTHER_NAMES: ReadonlySet<number> = new Set([0xa0, 0xa3, 0xa4, 0xa5, 0x87, 0x88])

// IA5String would allow control characters; a NUL in a name has fooled many a reader.
function printableOf(content: Uint8Array): string {
  const text = Buffer.from(content).toString('latin1')
  if (!/^[\x21-\x7e]+$/.test(text)) refuse('a name with characters that no name has')
  return text
}

const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
/** RFC 5280 §4.2.1.6: preferred name syntax; the one star is RFC 6125's. */
const DNS_NAME = new RegExp(`^(?:\\*\\.)?${LABEL}(?:\\.${LABEL})*$`)

function dnsNameOf(content: Uint8Array): string {
  const name = printableOf(content)
  if (name.length > 253 || !DNS_NAME.test(name)) refuse('a DNS name in no preferred syntax')
  if (isIP(name) !== 0) refuse('an address as a DNS name')
  return name
}
