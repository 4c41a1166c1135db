// A passkey in software (WebAuthn Level 3 §6): attestation `none`, ES256, keys made as the tests run.
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

export interface Ceremony {
  readonly origin: string
  readonly rpId: string
}

/** What a test changes to attack. */
export interface Twist {
  readonly origin?: string
  readonly rpId?: string
  readonly challenge?: string
  readonly type?: string
  readonly userVerified?: boolean
  readonly userPresent?: boolean
  readonly counter?: number
  readonly backupEligible?: boolean
  readonly userHandle?: string | null
  readonly clientData?: Record<string, unknown>
  readonly badSignature?: boolean
  /** Says that it is another credential. */
  readonly id?: string
}

const FLAG = { userPresent: 1, userVerified: 4, backupEligible: 8, backedUp: 16, attested: 64 }
const base64url = (bytes: Uint8Array | string) => Buffer.from(bytes).toString('base64url')
const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest()

export class SoftwarePasskey {
  readonly id = base64url(randomBytes(32))
  readonly #site: Ceremony
  readonly #keys: { publicKey: KeyObject; privateKey: KeyObject }
  readonly #backupEligible: boolean
  userHandle: string | undefined
  counter = 0

  constructor(site: Ceremony, options: { backupEligible?: boolean } = {}) {
    this.#site = site
    this.#backupEligible = options.backupEligible ?? true
    this.#keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  }

  /** `navigator.credentials.create(…).toJSON()` */
  create(options: Record<string, unknown>, twist: Twist = {}): Record<string, unknown> {
    const { challenge, user } = options as { challenge: string; user: { id: string } }
    this.userHandle = user.id
    const authData = Buffer.concat([this.#authData(twist, FLAG.attested), this.#attested()])
    const attestation = cborMap([
      [cborText('fmt'), cborText('none')],
      [cborText('attStmt'), cborMap([])],
      [cborText('authData'), cborBytes(authData)],
    ])
    const id = twist.id ?? this.id
    const response = {
      clientDataJSON: this.#clientData('webauthn.create', challenge, twist),
      attestationObject: base64url(attestation),
      transports: ['internal'],
    }
    return { ...this.#credential(response), id, rawId: id }
  }

  /** `navigator.credentials.get(…).toJSON()` */
  get(options: Record<string, unknown>, twist: Twist = {}): Record<string, unknown> {
    const { challenge } = options as { challenge: string }
    this.counter += this.#backupEligible ? 0 : 1
    const authData = this.#authData(twist, 0)
    const clientDataJSON = this.#clientData('webauthn.get', challenge, twist)
    const signed = Buffer.concat([authData, sha256(Buffer.from(clientDataJSON, 'base64url'))])
    const signature = sign('sha256', twist.badSignature ? Buffer.from('x') : signed, {
      key: this.#keys.privateKey,
      dsaEncoding: 'der',
    })
    const userHandle = twist.userHandle === undefined ? this.userHandle : twist.userHandle
    return this.#credential({
      clientDataJSON,
      authenticatorData: base64url(authData),
      signature: base64url(signature),
      ...(userHandle === null ? {} : { userHandle }),
    })
  }

  #credential(response: Record<string, unknown>): Record<string, unknown> {
    return { id: this.id, rawId: this.id, type: 'public-key', clientExtensionResults: {}, response }
  }

  #clientData(type: string, challenge: string, twist: Twist): string {
    const data = {
      type: twist.type ?? type,
      challenge: twist.challenge ?? challenge,
      origin: twist.origin ?? this.#site.origin,
      crossOrigin: false,
      ...twist.clientData,
    }
    return base64url(JSON.stringify(data))
  }

  #authData(twist: Twist, extra: number): Buffer {
    const eligible = twist.backupEligible ?? this.#backupEligible
    const flags =
      extra |
      (twist.userPresent === false ? 0 : FLAG.userPresent) |
      (twist.userVerified === false ? 0 : FLAG.userVerified) |
      (eligible ? FLAG.backupEligible | FLAG.backedUp : 0)
    const counter = Buffer.alloc(4)
    counter.writeUInt32BE(twist.counter ?? this.counter)
    return Buffer.concat([sha256(twist.rpId ?? this.#site.rpId), Buffer.from([flags]), counter])
  }

  #attested(): Buffer {
    const id = Buffer.from(this.id, 'base64url')
    const { x, y } = this.#keys.publicKey.export({ format: 'jwk' }) as { x: string; y: string }
    const key = cborMap([
      [cborInt(1), cborInt(2)],
      [cborInt(3), cborInt(-7)],
      [cborInt(-1), cborInt(1)],
      [cborInt(-2), cborBytes(Buffer.from(x, 'base64url'))],
      [cborInt(-3), cborBytes(Buffer.from(y, 'base64url'))],
    ])
    return Buffer.concat([
      Buffer.alloc(16),
      Buffer.from([id.length >> 8, id.length & 255]),
      id,
      key,
    ])
  }
}

function cborHead(major: number, length: number): Buffer {
  if (length < 24) return Buffer.from([(major << 5) | length])
  if (length < 256) return Buffer.from([(major << 5) | 24, length])
  return Buffer.from([(major << 5) | 25, length >> 8, length & 255])
}
const cborInt = (value: number) => (value < 0 ? cborHead(1, -1 - value) : cborHead(0, value))
const cborBytes = (bytes: Buffer) => Buffer.concat([cborHead(2, bytes.length), bytes])
const cborText = (text: string) => Buffer.concat([cborHead(3, text.length), Buffer.from(text)])
const cborMap = (entries: [Buffer, Buffer][]) =>
  Buffer.concat([cborHead(5, entries.length), ...entries.flat()])
