import { withoutSvid } from './caller.ts'
import { WritError } from './error.ts'
import type { Fetch } from './fetch.ts'
import { type SpiffeConnections, whoFailed } from './spiffe-connect.ts'

export interface ConnectionOptions {
  readonly binding: 'dpop' | 'mtls'
  /** For servers that prove nothing beyond their URL. */
  readonly fetch: Fetch
}

/**
 * How to reach a server that is about to be sent a token. Where the broker knows who the server is,
 * only a connection that proves it will do, whatever other `fetch` there is: a relay with a good
 * certificate for the URL would otherwise get the token, and the arguments with it.
 *
 * @returns a function that throws {WritError} `server_unproven`, `url_refused`; what it returns throws
 * `server_unproven`, `identity_unavailable`, and what `fetch` throws
 */
export function serverConnection({ binding, fetch }: ConnectionOptions) {
  const mutual = binding === 'mtls'
  return (
    url: URL,
    spiffeId: string | undefined,
    connections: SpiffeConnections | undefined,
  ): Fetch => {
    if (spiffeId === undefined && !mutual) return fetch
    if (connections === undefined) {
      throw unproven(url, spiffeId, ' to this agent; give it the option spiffe (mcp-writ/spiffe)')
    }
    if (url.protocol !== 'https:') {
      if (spiffeId !== undefined) throw unproven(url, spiffeId, ' over http; use https')
      throw new WritError(
        'url_refused',
        `the MCP server ${url.origin} cannot be shown a certificate; use https`,
      )
    }
    const proving = connections.fetchTo({ spiffeId, mutual })
    return async (input, init) => {
      try {
        return await proving(input, init)
      } catch (cause) {
        const failed = whoFailed(cause)
        if (failed === undefined) throw cause
        if (failed === 'own') throw withoutSvid(cause)
        throw unproven(url, spiffeId, ', so it was sent nothing; check who listens there', cause)
      }
    }
  }
}

function unproven(
  url: URL,
  spiffeId: string | undefined,
  then: string,
  cause?: unknown,
): WritError {
  const name = spiffeId ?? 'the server of its URL'
  return new WritError(
    'server_unproven',
    `the MCP server at ${url.origin} cannot prove to be ${name}${then}`,
    { cause },
  )
}
