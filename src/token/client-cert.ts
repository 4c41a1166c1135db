/**
 * Client certificates that a TLS-terminating proxy hands on in header fields (RFC 9440), and who is
 * believed when it does. The fields prove nothing by themselves: whoever can reach the listener can
 * send them, so they count from a peer on the list only, and that peer strips them from outside.
 */
import { BlockList, isIP } from 'node:net'

/** RFC 9440 §2: the client's own certificate, and what it sent with it. In lower case, as fields are looked up. */
export const CLIENT_CERT_FIELDS = ['client-cert', 'client-cert-chain'] as const

/** More than any chain of use; a proxy that sends more is misconfigured or worse. */
const MAX_CERTIFICATES = 9
const MAX_CERTIFICATE_BYTES = 16 * 1024
const MAX_ENCODED = 4 * Math.ceil(MAX_CERTIFICATE_BYTES / 3)

/** RFC 8941 §3.3.5, in the one spelling that each byte sequence has. */
const BYTE_SEQUENCE =
  /^:((?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?|[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=):$/

export class ClientCertError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ClientCertError'
  }
}

/**
 * Reads `Client-Cert` and `Client-Cert-Chain` (RFC 9440 §2).
 *
 * @param clientCert the values of every `Client-Cert` field line, exactly one
 * @param clientCertChain the values of every `Client-Cert-Chain` field line, which together are one
 *   list (RFC 8941 §4.2), or none
 * @returns DER, the client's own certificate first; believed by nobody yet, and maybe no certificates
 * @throws {ClientCertError} for anything but that; the message holds nothing of the fields
 */
export function parseClientCert(
  clientCert: readonly string[],
  clientCertChain: readonly string[],
): Uint8Array[] {
  const [only] = clientCert
  // A proxy that adds its field without removing that of the client leaves two.
  if (only === undefined || clientCert.length !== 1) {
    throw new ClientCertError(`${clientCert.length} Client-Cert fields, expected one`)
  }
  const size = clientCertChain.reduce((sum, line) => sum + line.length, only.length)
  if (size > MAX_CERTIFICATES * (MAX_ENCODED + 4)) throw new ClientCertError('too long')
  const leaf = bytesOf(trimmed(only))
  const rest = clientCertChain
    .flatMap((line) => line.split(','))
    .map(trimmed)
    .map(bytesOf)
  if (rest.length >= MAX_CERTIFICATES) throw new ClientCertError('too many certificates')
  return [leaf, ...rest]
}

/** RFC 8941 §4.2: white space around a value or a member of a list is no part of it. */
function trimmed(value: string): string {
  let start = 0
  let end = value.length
  // By hand: a pattern anchored at the end tries every run of blanks from each of its places.
  while (start < end && isBlank(value[start])) start += 1
  while (end > start && isBlank(value[end - 1])) end -= 1
  return value.slice(start, end)
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

function bytesOf(item: string): Uint8Array {
  if (item.length > MAX_ENCODED + 2) throw new ClientCertError('a certificate that is too long')
  const encoded = BYTE_SEQUENCE.exec(item)?.[1]
  if (encoded === undefined) throw new ClientCertError('no byte sequence')
  const bytes = Buffer.from(encoded, 'base64')
  // Bits that stand for nothing would give one certificate several spellings.
  if (bytes.toString('base64') !== encoded)
    throw new ClientCertError('base64 that is not canonical')
  return bytes
}

export interface TrustedPeers {
  /** @param address of the TCP peer, as `socket.remoteAddress` has it */
  trusts(address: string | undefined): boolean
}

/** An IPv4 peer on a socket that listens on IPv6 is written like this (RFC 4291 §2.5.5.2). */
const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i
/** Not 0: to believe everybody is to believe that a header proves a key. */
const PREFIX_LENGTH = /^[1-9]\d{0,2}$/

/**
 * Who may hand on certificates. The two families are kept apart, because a network of IPv6 addresses can
 * hold those that stand for IPv4.
 *
 * @param list addresses and networks, as in `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`
 * @throws {TypeError} naming the entry that is neither
 */
export function createTrustedPeers(list: readonly string[]): TrustedPeers {
  const peers = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const entry of list) addPeer(peers, entry)
  return {
    trusts(address) {
      if (address === undefined) return false
      const plain = MAPPED.exec(address)?.[1] ?? address
      const family = familyOf(plain)
      return family !== undefined && peers[family].check(plain, family)
    },
  }
}

type Family = 'ipv4' | 'ipv6'

function familyOf(address: string): Family | undefined {
  const version = isIP(address)
  return version === 0 ? undefined : version === 4 ? 'ipv4' : 'ipv6'
}

function addPeer(peers: Readonly<Record<Family, BlockList>>, entry: string): void {
  const [address = '', length, ...more] = entry.split('/')
  const family = familyOf(address)
  const bits = family === 'ipv4' ? 32 : 128
  const bad =
    more.length > 0 ||
    // A zone ("fe80::1%eth0") is dropped by the list, so the entry would trust more than it says.
    address.includes('%') ||
    MAPPED.test(address) ||
    (length !== undefined && (!PREFIX_LENGTH.test(length) || Number(length) > bits))
  if (bad || family === undefined) {
    throw new TypeError(`"${entry}" is no address and no network such as 10.0.0.0/8`)
  }
  peers[family].addSubnet(address, length === undefined ? bits : Number(length), family)
}
