// The load every measurement uses: 100 agents' keys, one call with 200 bytes of arguments, 32 in flight.
import { Agent, request } from 'undici'
import { generateSenderKey, makeProof, type SenderKey } from '../src/token/proof.ts'

export const KEYS = 100
export const IN_FLIGHT = 32

export const RESOURCE = 'http://127.0.0.1:4474/mcp'
export const TOOL = 'add_note'

/** Exactly 200 bytes as JSON text. */
export const ARGUMENTS = { title: 'Weekly report', text: 'x'.repeat(200 - 35) }

export const senderKeys: readonly SenderKey[] = Array.from({ length: KEYS }, () =>
  generateSenderKey('ES256'),
)

export interface TokenRequest {
  readonly body: string
  readonly proof: string
}

/** Made before the clock starts: what the agents' side costs is not what is measured. */
export function makeTokenRequests(
  count: number,
  to: {
    readonly url: string
    /** One for each key, so that an SVID is used with one key only. */
    readonly svids: readonly string[]
  },
): TokenRequest[] {
  const bodies = to.svids.map(bodyFor)
  const now = Date.now() / 1000
  return Array.from({ length: count }, (_, index) => ({
    body: bodies[index % bodies.length]!,
    proof: makeProof(senderKeys[index % KEYS]!, { method: 'POST', url: to.url, now }),
  }))
}

function bodyFor(svid: string): string {
  return new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    resource: RESOURCE,
    subject_token: svid,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    authorization_details: JSON.stringify([
      {
        type: 'mcp_action',
        locations: [RESOURCE],
        actions: ['tools/call'],
        identifier: TOOL,
        arguments: ARGUMENTS,
      },
    ]),
  }).toString()
}

/** A request was answered with 503, as a store that is late on a busy machine makes happen. */
export class Busy extends Error {}

const connections = new Agent({ connections: IN_FLIGHT, pipelining: 1 })

/**
 * Sends all requests, 32 in flight, and answers each one's time in milliseconds.
 *
 * @throws {Busy} when one was answered with 503; the others have been answered too by then
 * @throws {Error} on any other answer that is not 200: a refused request measures nothing
 */
export async function sendAll(url: string, requests: readonly TokenRequest[]): Promise<number[]> {
  const times = new Array<number>(requests.length)
  let next = 0
  let failure: Error | undefined
  const worker = async (): Promise<void> => {
    while (next < requests.length && failure === undefined) {
      const index = next++
      const { body, proof } = requests[index]!
      const start = performance.now()
      const response = await request(url, {
        method: 'POST',
        dispatcher: connections,
        headers: { 'content-type': 'application/x-www-form-urlencoded', dpop: proof },
        body,
      })
      const text = await response.body.text()
      times[index] = performance.now() - start
      if (response.statusCode === 200) continue
      const what = `bench: ${url} answered ${response.statusCode} ${text.slice(0, 200)}`
      failure ??= response.statusCode === 503 ? new Busy(what) : new Error(what)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  if (failure !== undefined) throw failure
  return times
}

export async function closeConnections(): Promise<void> {
  await connections.close()
}
