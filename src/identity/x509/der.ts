/**
 * DER (X.690 §10–11) and nothing looser: one encoding per value, so that two readers of one
 * certificate cannot see two things in it.
 */

export class DerError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'DerError'
  }
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

export interface DerElement {
  /** The identifier octet: class, constructed bit, number. */
  readonly tag: number
  readonly content: Uint8Array
  /** Identifier, length and content. */
  readonly whole: Uint8Array
}

/** Takes elements off the front of some bytes. Every method throws `DerError`. */
export class DerReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The element at the front, of any tag. */
  next(): DerElement {
    const start = this.#at
    const tag = this.#byte()
    if ((tag & 0x1f) === 0x1f) throw new DerError('a tag number above 30')
    const length = this.#length()
    const from = this.#at
    if (length > this.#bytes.length - from) throw new DerError('ends too early')
    this.#at = from + length
    return {
      tag,
      content: this.#bytes.subarray(from, this.#at),
      whole: this.#bytes.subarray(start, this.#at),
    }
  }

  expect(tag: number): DerElement {
    const element = this.next()
    if (element.tag !== tag) throw new DerError(`tag ${element.tag}, expected ${tag}`)
    return element
  }

  /** The element at the front when it has this tag. */
  optional(tag: number): DerElement | undefined {
    return this.#bytes[this.#at] === tag ? this.next() : undefined
  }

  /** Nothing may follow. */
  end(): void {
    if (!this.ended) throw new DerError('something follows the end')
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new DerError('ends too early')
    this.#at += 1
    return byte
  }

  // Definite and in the fewest octets (X.690 §10.1); four of them are more than we ever read. The
  // indefinite form has none, and so is not minimal either.
  #length(): number {
    const first = this.#byte()
    if (first < 0x80) return first
    const octets = first & 0x7f
    if (octets > 4) throw new DerError('an oversized length')
    let length = 0
    for (let i = 0; i < octets; i += 1) length = length * 256 + this.#byte()
    if (length < 0x80 || length < 256 ** (octets - 1)) throw new DerError('a length not minimal')
    return length
  }
}

/** The content of the one element that `bytes` are. */
export function onlyContent(bytes: Uint8Array, tag: number): Uint8Array {
  const reader = new DerReader(bytes)
  const { content } = reader.expect(tag)
  reader.end()
  return content
}

/** The one element that `bytes` are, taken apart. */
export function readerOf(bytes: Uint8Array, tag: number): DerReader {
  return new DerReader(onlyContent(bytes, tag))
}

/** All elements in a row. */
export function elementsOf(content: Uint8Array): DerElement[] {
  const reader = new DerReader(content)
  const elements: DerElement[] = []
  while (!reader.ended) elements.push(reader.next())
  return elements
}

export function booleanOf(content: Uint8Array): boolean {
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) {
    throw new DerError('no boolean')
  }
  return content[0] === 0xff
}

/** The octets of an INTEGER in two's complement, known to be minimal. */
export function integerOf(content: Uint8Array): Uint8Array {
  const [first, second] = content
  if (first === undefined) throw new DerError('an empty integer')
  if (second !== undefined) {
    const redundant = (first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)
    if (redundant) throw new DerError('an integer not minimal')
  }
  return content
}

/** A non-negative INTEGER of at most four octets. */
export function smallIntegerOf(content: Uint8Array): number {
  const octets = integerOf(content)
  if ((octets[0] ?? 0) >= 0x80 || octets.length > 4) throw new DerError('an integer out of range')
  return octets.reduce((value, octet) => value * 256 + octet, 0)
}

/** As in `2.5.29.15`. */
export function oidOf(content: Uint8Array): string {
  if (content.length === 0 || content.length > 64) throw new DerError('an oid too short or long')
  const arcs: bigint[] = []
  let arc = 0n
  let fresh = true
  for (const octet of content) {
    if (fresh && octet === 0x80) throw new DerError('an oid not minimal')
    arc = (arc << 7n) | BigInt(octet & 0x7f)
    fresh = octet < 0x80
    if (!fresh) continue
    arcs.push(arc)
    arc = 0n
  }
  if (!fresh) throw new DerError('an oid that ends too early')
  const first = arcs[0] ?? 0n
  const root = first < 80n ? first / 40n : 2n
  return [root, first - root * 40n, ...arcs.slice(1)].join('.')
}

/** The octets of a BIT STRING whose bits fill them, as those of keys and signatures do. */
export function octetsOfBits(content: Uint8Array): Uint8Array {
  if (content[0] !== 0) throw new DerError('bits that fill no octets')
  return content.subarray(1)
}

/** The numbers of the bits set in a named bit list, without trailing zeros (X.690 §11.2.2). */
export function namedBitsOf(content: Uint8Array): number[] {
  const unused = content[0]
  if (unused === undefined || unused > 7) throw new DerError('no bit string')
  const octets = content.subarray(1)
  const last = octets[octets.length - 1]
  if (last === undefined ? unused !== 0 : (last >> unused) % 2 === 0 || last % 2 ** unused !== 0) {
    throw new DerError('a named bit list not minimal')
  }
  const set: number[] = []
  for (const [index, octet] of octets.entries()) {
    for (let bit = 0; bit < 8; bit += 1) if (octet & (0x80 >> bit)) set.push(index * 8 + bit)
  }
  return set
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/

/** Seconds since the epoch. RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime after, both in Z. */
export function timeOf({ tag, content }: DerElement): number {
  const text = Buffer.from(content).toString('latin1')
  const utc = tag === TAG.utcTime
  if (!utc && tag !== TAG.generalizedTime) throw new DerError('no time')
  const match = (utc ? UTC_TIME : GENERALIZED_TIME).exec(text)
  if (match === null) throw new DerError('a time in another form')
  const [given = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map(Number)
  const year = utc ? (given >= 50 ? 1900 + given : 2000 + given) : given
  if (!utc && year < 2050) throw new DerError('a GeneralizedTime before 2050')
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second))
  // Date rolls the 31st of February over; it then no longer reads as what was written.
  const rolled =
    date.getUTCMonth() !== month - 1 ||
    date.getUTCDate() !== day ||
    date.getUTCHours() !== hour ||
    date.getUTCMinutes() !== minute ||
    date.getUTCSeconds() !== second
  if (rolled) throw new DerError('no such time')
  return date.getTime() / 1000
}
