/**
 * Which IP addresses are not simply hosts of the public Internet (RFC 6890 and its IANA registries).
 *
 * A URL of a trust source may lead to such an address only when the operator says so: otherwise whoever
 * answers DNS for the name could point the broker at its own machine, network or cloud metadata.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'

/** Every special-purpose IPv4 block, those that are reachable but belong to a protocol included. */
const SPECIAL_IPV4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private use
  '100.64.0.0/10', // shared by carrier-grade NAT
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, cloud metadata
  '172.16.0.0/12', // private use
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private use
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarking
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, limited broadcast
]

/** What is special inside `2000::/3`; outside of it nothing is global unicast (RFC 4291 §2.4). */
const SPECIAL_IPV6 = [
  '2001::/23', // protocol assignments, Teredo, benchmarking, ORCHID
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: an IPv4 address in disguise
  '2620:4f:8000::/48', // AS112
  '3fff::/20', // documentation
]

const special4 = addressList(SPECIAL_IPV4)
const special6 = addressList(SPECIAL_IPV6)
const global6 = addressList(['2000::/3'])
const nat64 = addressList(['64:ff9b::/96'])
const mapped = addressList(['::ffff:0:0/96'])

/** Addresses, as a set that was given in CIDR notation. */
export interface AddressSet {
  has(address: string): boolean
}

/**
 * Reads addresses and CIDR blocks.
 *
 * @throws {TypeError} naming the entry that is neither
 */
export function addressSet(entries: readonly string[]): AddressSet {
  const list = addressList(entries)
  return {
    has(address) {
      const plain = plainAddress(address)
      return plain !== undefined && list.check(plain.address, plain.family)
    },
  }
}

/** Whether `address` is special-use, or no address at all. IPv4 inside IPv6 is judged as IPv4. */
export function isSpecialAddress(address: string): boolean {
  const plain = plainAddress(address)
  if (plain === undefined) return true
  if (plain.family === 'ipv4') return special4.check(plain.address)
  if (nat64.check(plain.address, 'ipv6')) return special4.check(lastFourBytes(plain.address))
  return !global6.check(plain.address, 'ipv6') || special6.check(plain.address, 'ipv6')
}

/** An IPv4-mapped IPv6 address becomes the IPv4 address that the system would connect to. */
function plainAddress(address: string): { address: string; family: 'ipv4' | 'ipv6' } | undefined {
  if (isIPv4(address)) return { address, family: 'ipv4' }
  // A zone (`%eth0`) makes sense for addresses of a link only.
  if (!isIPv6(address) || address.includes('%')) return undefined
  if (!mapped.check(address, 'ipv6')) return { address, family: 'ipv6' }
  return { address: lastFourBytes(address), family: 'ipv4' }
}

function lastFourBytes(address: string): string {
  const dotted = address.slice(address.lastIndexOf(':') + 1)
  if (isIPv4(dotted)) return dotted
  // `URL` writes IPv6 in the one spelling of RFC 5952, without leading zeros, in hexadecimal only.
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = text.split('::')
  const groups = (tail ?? head).split(':').filter((group) => group !== '')
  const [high, low] = ['0', '0', ...groups].slice(-2).map((group) => Number.parseInt(group, 16))
  return [high! >> 8, high! & 255, low! >> 8, low! & 255].join('.')
}

function addressList(entries: readonly string[]): BlockList {
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', prefix, ...more] = entry.split('/')
    const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined
    const most = family === 'ipv4' ? 32 : 128
    const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1
    if (family === undefined || address.includes('%') || more.length > 0) {
      throw new TypeError(`"${entry}" is no IP address or CIDR block`)
    }
    if (bits < 0 || bits > most) throw new TypeError(`"${entry}" has no prefix length`)
    list.addSubnet(address, bits, family)
  }
  return list
}
