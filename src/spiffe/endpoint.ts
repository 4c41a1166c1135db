import { isIP } from 'node:net'
import { SpiffeError } from './error.ts'

/** Where the Workload API is served. */
export interface WorkloadEndpoint {
  /** As it was written. */
  readonly address: string
  /** As gRPC names it. */
  readonly target: string
}

/** The kernel has 108 bytes for the path of a socket, the last of which is NUL. */
const MAX_PATH_BYTES = 107
const UNIX = /^unix:(?:\/\/)?(\/[^/][^?#%\p{Cc}]*)$/u
const TCP = /^tcp:\/\/(?:\[([\da-fA-F:.]+)\]|([\d.]+)):([1-9]\d{0,4})$/

/**
 * Reads the address of a Workload API endpoint (SPIFFE Workload Endpoint §4): `unix:///path`, or
 * `tcp://ip:port` with an IP address. No name is ever resolved: what answers there decides who we are.
 *
 * @param text `SPIFFE_ENDPOINT_SOCKET` of the environment when not given
 * @throws {SpiffeError} `socket_invalid`, saying what was expected
 */
export function parseEndpoint(text = process.env.SPIFFE_ENDPOINT_SOCKET): WorkloadEndpoint {
  if (text === undefined || text === '') {
    throw invalid(
      'no Workload API socket is known; set SPIFFE_ENDPOINT_SOCKET, as in unix:///run/spire/agent.sock',
    )
  }
  const path = UNIX.exec(text)?.[1]
  if (path !== undefined) {
    if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
      throw invalid(`the path of a unix socket has at most ${MAX_PATH_BYTES} bytes: ${text}`)
    }
    return { address: text, target: `unix:${path}` }
  }
  const [, v6, v4, port] = TCP.exec(text) ?? []
  if (port !== undefined && Number(port) <= 65_535) {
    if (v6 !== undefined && isIP(v6) === 6) return { address: text, target: `ipv6:[${v6}]:${port}` }
    if (v4 !== undefined && isIP(v4) === 4) return { address: text, target: `ipv4:${v4}:${port}` }
  }
  throw invalid(`"${text}" is no Workload API socket; ${adviceFor(text)}`)
}

function adviceFor(text: string): string {
  if (text.startsWith('/')) return `write unix://${text}`
  if (text.startsWith('unix:'))
    return 'give an absolute path and nothing else, as in unix:///run/a.sock'
  if (text.startsWith('tcp:')) {
    return 'give an IP address and a port and nothing else, as in tcp://127.0.0.1:8081'
  }
  return 'expected unix:///path or tcp://ip:port'
}

function invalid(message: string): SpiffeError {
  return new SpiffeError('socket_invalid', message)
}
