import { isIPv6 } from 'node:net'

/**
 * What to count a peer by: its IPv4 address, or the first half of its IPv6 address, for whoever has one
 * of these has 2^64 of them (RFC 4291 §2.5.1).
 *
 * @param address as a socket's `remoteAddress` has it
 */
export function networkOf(address: string | undefined): string {
  if (address === undefined) return 'unknown'
  if (!isIPv6(address) || address.includes('.')) return address
  const [head = '', tail = ''] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = tail === '' ? 0 : tail.split(':').length
  // What `::` stands for are zeros; behind it, the last groups count from the end.
  const zeros = Array<string>(Math.max(0, 8 - groups.length - after)).fill('0')
  return [...groups, ...zeros, ...tail.split(':')].slice(0, 4).join(':')
}
