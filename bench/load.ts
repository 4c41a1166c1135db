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
  to: { readonly url: string; readonly svid: string; readonly nonce?: string },
): TokenRequest[] {
  const body = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    resource: RESOURCE,
    subject_token: to.svid,
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
  const now = Date.now() / 1000
  return Array.from({ length: count }, (_, index) => ({
    body,
    proof: makeProof(senderKeys[index % KEYS]!, {
      method: 'POST',
      url: to.url,
      now,
      nonce: to.nonce,
    }),
  }))
}

const connections = new Agent({ connections: IN_FLIGHT, pipelining: 1 })

/**
 * Sends all requests, 32 in flight, and answers each one's time in milliseconds.
 *
 * @throws {Error} on the first answer that is not 200: a refused request measures nothing
 */
export async function sendAll(url: string, requests: readonly TokenRequest[]): Promise<number[]> {
  const times = new Array<number>(requests.length)
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < requests.length; index = next++) {
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
      if (response.statusCode !== 200) {
        throw new Error(`bench: ${url} answered ${response.statusCode} ${text.slice(0, 200)}`)
      }
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  return times
}

export async function closeConnections(): Promise<void> {
  await connections.close()
}
