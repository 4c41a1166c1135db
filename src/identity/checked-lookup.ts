/** Name resolution for a connection about to be made; what it answers is what is connected to. */
import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'

/** All addresses of a name, in the order to try them. */
export type Lookup = (
  hostname: string,
  callback: (error: Error | null, addresses: readonly LookupAddress[]) => void,
) => void

/** The name has an address that must not be connected to. Its message names neither. */
export class AddressRefused extends Error {
  readonly code = 'special-use address'
}

const resolve: Lookup = (hostname, callback) => {
  dnsLookup(hostname, { all: true }, (error, addresses) => callback(error, addresses ?? []))
}

/**
 * A `lookup` for `net.connect` that fails when any address of the name is refused. Picking the good
 * ones out would make a name that points inside as well look healthy.
 */
export function checkedLookup(
  isRefused: (address: string) => boolean,
  lookup: Lookup = resolve,
): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, (error, found) => {
      const [first] = found
      if (error !== null || first === undefined) {
        callback(error ?? Object.assign(new Error('no address'), { code: 'ENOTFOUND' }), '', 0)
      } else if (found.some(({ address }) => isRefused(address))) {
        callback(new AddressRefused(), '', 0)
      } else if (options.all === true) {
        // One spelling of "which family": a bad one would send the connection nowhere.
        callback(null, [...found])
      } else {
        callback(null, first.address, first.family)
      }
    })
  }
}
