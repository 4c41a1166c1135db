// Makes X.509 certificates, right and wrong ones, without the code under test: its own DER, real keys.
import { generateKeyPairSync, hash, type KeyObject, randomBytes, sign } from 'node:crypto'

export const NOW = 1_800_000_000
const DAY = 86_400

export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents)
  const { length } = content
  const octets =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...octets]), content])
}

export const sequence = (...contents: readonly Uint8Array[]) => der(0x30, ...contents)
export const integer = (...octets: readonly number[]) => der(2, Buffer.from(octets))
export const text = (tag: number, value: string) => der(tag, Buffer.from(value))
const TRUE = Buffer.from([1, 1, 0xff])

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const octets = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f]
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80)
    return groups
  })
  return der(6, Buffer.from(octets))
}

export function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [TRUE] : []), der(4, value))
}

const ECDSA = {
  'SHA-1': '1.2.840.10045.4.1',
  'SHA-256': '1.2.840.10045.4.3.2',
  'SHA-384': '1.2.840.10045.4.3.3',
  'SHA-512': '1.2.840.10045.4.3.4',
}
const RSA = {
  'SHA-1': '1.2.840.113549.1.1.5',
  'SHA-256': '1.2.840.113549.1.1.11',
  'SHA-384': '1.2.840.113549.1.1.12',
  'SHA-512': '1.2.840.113549.1.1.13',
}
export type Hash = keyof typeof ECDSA

export function algorithmOf(key: KeyObject, digest: Hash): Buffer {
  if (key.asymmetricKeyType === 'ed25519') return sequence(oid('1.3.101.112'))
  if (key.asymmetricKeyType === 'rsa') return sequence(oid(RSA[digest]), der(5))
  return sequence(oid(ECDSA[digest]))
}

export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

export const ecKeys = (namedCurve = 'P-256'): KeyPair => generateKeyPairSync('ec', { namedCurve })
export const rsaKeys = (modulusLength = 2048, publicExponent = 65_537): KeyPair =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent })
export const edKeys = (): KeyPair => generateKeyPairSync('ed25519')

export interface Made {
  readonly der: Buffer
  readonly name: Buffer
  readonly keys: KeyPair
}

export const name = (commonName: string) =>
  commonName === ''
    ? sequence()
    : sequence(der(0x31, sequence(oid('2.5.4.3'), text(0x0c, commonName))))

/** Bits of a key usage, by number. */
export function keyUsage(bits: readonly number[], critical = true): Buffer {
  const octet = bits.reduce((sum, bit) => sum | (0x80 >> bit), 0)
  const unused = octet === 0 ? 0 : Math.log2(octet & -octet)
  return extension('2.5.29.15', der(3, Buffer.from([unused, octet])), critical)
}

export function basicConstraints(ca: boolean, pathLength?: number, critical = true): Buffer {
  const octets =
    (pathLength ?? 0) < 0x80
      ? [pathLength ?? 0]
      : [(pathLength ?? 0) >> 8, (pathLength ?? 0) & 0xff]
  const length = pathLength === undefined ? [] : [integer(...octets)]
  return extension('2.5.29.19', sequence(...(ca ? [TRUE] : []), ...length), critical)
}

export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
export const extKeyUsage = (...purposes: readonly string[]) =>
  extension('2.5.29.37', sequence(...purposes.map(oid)))

export const uri = (value: string) => text(0x86, value)
export const dns = (value: string) => text(0x82, value)
export const altName = (names: readonly Uint8Array[], critical = false) =>
  extension('2.5.29.17', sequence(...names), critical)

const keyId = ({ publicKey }: KeyPair) =>
  hash('sha1', publicKey.export({ format: 'der', type: 'spki' }), 'buffer')
export const subjectKeyId = (keys: KeyPair, critical = false) =>
  extension('2.5.29.14', der(4, keyId(keys)), critical)
export const authorityKeyId = (keys: KeyPair) =>
  extension('2.5.29.35', sequence(der(0x80, keyId(keys))))

export interface Plan {
  readonly subject?: string
  readonly issuerName?: Buffer
  readonly keys?: KeyPair
  /** Seconds since the epoch. */
  readonly notBefore?: number
  readonly notAfter?: number
  readonly digest?: Hash
  readonly serial?: Buffer
  readonly version?: Buffer
  /** The whole `Validity`, instead of the two times. */
  readonly validity?: Buffer
  /** By name, so that a plan may change one; undefined leaves it out. */
  readonly extensions?: Readonly<Record<string, Buffer | undefined>>
  /** AlgorithmIdentifier of the unsigned outside, where it is to differ. */
  readonly outerAlgorithm?: Buffer
  /** AlgorithmIdentifier and signature, instead of the usual ones of the issuer's key. */
  readonly signer?: { readonly algorithm: Buffer; readonly sign: (tbs: Buffer) => Buffer }
  readonly signingKeys?: KeyPair
  /** What comes between the key and the extensions. */
  readonly beforeExtensions?: Buffer
  /** SubjectPublicKeyInfo, instead of that of `keys`. */
  readonly keyInfo?: Buffer
}

function time(seconds: number): Buffer {
  const digits = new Date(seconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '')
  return Number(digits.slice(0, 4)) < 2050 ? text(0x17, digits.slice(2)) : text(0x18, digits)
}

export function make(plan: Plan, issuer: Made | undefined): Made {
  const keys = plan.keys ?? ecKeys()
  const subject = name(plan.subject ?? 'someone')
  const signing = plan.signingKeys ?? issuer?.keys ?? keys
  const digest = plan.digest ?? 'SHA-256'
  const algorithm = plan.signer?.algorithm ?? algorithmOf(signing.privateKey, digest)
  const extensions = Object.values(plan.extensions ?? {}).filter((one) => one !== undefined)
  const tbs = sequence(
    plan.version ?? der(0xa0, integer(2)),
    plan.serial ?? der(2, Buffer.concat([Buffer.from([0x40]), randomBytes(15)])),
    algorithm,
    plan.issuerName ?? issuer?.name ?? subject,
    plan.validity ?? sequence(time(plan.notBefore ?? NOW - DAY), time(plan.notAfter ?? NOW + DAY)),
    subject,
    plan.keyInfo ?? keys.publicKey.export({ format: 'der', type: 'spki' }),
    plan.beforeExtensions ?? Buffer.alloc(0),
    ...(extensions.length === 0 ? [] : [der(0xa3, sequence(...extensions))]),
  )
  const hashName =
    signing.privateKey.asymmetricKeyType === 'ed25519' ? null : digest.replace('-', '')
  const signature = plan.signer?.sign(tbs) ?? sign(hashName, tbs, signing.privateKey)
  const bits = der(3, Buffer.from([0]), signature)
  return { der: sequence(tbs, plan.outerAlgorithm ?? algorithm, bits), name: subject, keys }
}

/** A self-signed authority. */
export function root(plan: Plan = {}): Made {
  const keys = plan.keys ?? ecKeys()
  const extensions = {
    basicConstraints: basicConstraints(true),
    keyUsage: keyUsage([5, 6]),
    subjectKeyId: subjectKeyId(keys),
    ...plan.extensions,
  }
  return make({ subject: 'root', ...plan, keys, extensions }, undefined)
}

export function intermediate(issuer: Made, plan: Plan = {}): Made {
  const keys = plan.keys ?? ecKeys()
  const extensions = {
    basicConstraints: basicConstraints(true),
    keyUsage: keyUsage([5, 6]),
    subjectKeyId: subjectKeyId(keys),
    authorityKeyId: authorityKeyId(issuer.keys),
    ...plan.extensions,
  }
  return make({ subject: 'intermediate', ...plan, keys, extensions }, issuer)
}

export const ID = 'spiffe://corp.test/agents/bot'

export function leaf(issuer: Made, plan: Plan = {}): Made {
  const extensions = {
    basicConstraints: basicConstraints(false),
    keyUsage: keyUsage([0]),
    extKeyUsage: extKeyUsage(SERVER_AUTH, CLIENT_AUTH),
    subjectAltName: altName([uri(ID)]),
    authorityKeyId: authorityKeyId(issuer.keys),
    ...plan.extensions,
  }
  return make({ subject: 'bot', ...plan, extensions }, issuer)
}

export function pem({ der: bytes }: Made): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
