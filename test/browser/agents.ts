// Real agents on the MCP SDK: with a key of their own, for themselves or for a user, and one call at a time held back.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createAgent, type Fetch } from '../../src/agent/index.ts'
import { generateSenderKey, makeProof } from '../../src/token/proof.ts'
import { claimsOf } from '../attacks/sender.ts'

export interface Agent {
  readonly workload: string
  /** The thumbprint of its key. */
  readonly key: string
  /** Calls a tool through the MCP SDK. @throws {Error} when the call is refused */
  call(tool: string, input?: Record<string, unknown>): Promise<string>
  /** Calls a tool, and holds the call back once it has its token. */
  hold(tool: string): Promise<HeldCall>
  close(): Promise<void>
}

export interface HeldCall {
  /** Of the token that it was issued. */
  readonly jti: string
  /** Lets it go on to the server. @throws {Error} when it is refused there */
  send(): Promise<string>
}

export interface AgentOptions {
  readonly workload: string
  readonly broker: string
  /** Of the MCP server. */
  readonly resource: string
  readonly task?: string | undefined
  readonly identity: () => Promise<string>
  /** The ID token of the user it acts for. */
  readonly user?: (() => string) | undefined
}

export async function connectAgent(options: AgentOptions): Promise<Agent> {
  const { workload, broker, resource, task, identity, user } = options
  const key = generateSenderKey()
  let holding: ((jti: string) => Promise<void>) | undefined
  const send: Fetch = async (input, init) => {
    const hold = holding
    if (hold !== undefined && String(input) === resource) {
      holding = undefined
      const headers = new Headers(init?.headers)
      const [, accessToken = ''] = (headers.get('authorization') ?? '').split(' ')
      await hold(String(claimsOf(accessToken).jti))
      // The token is the one that was held back; a proof is made when it is sent, and soon too old.
      const now = Date.now() / 1000
      headers.set('dpop', makeProof(key, { method: 'POST', url: resource, now, accessToken }))
      return fetch(input, { ...init, headers })
    }
    return fetch(input, init)
  }
  const own = createAgent({
    ...{ broker, identity, key, fetch: send },
    ...(task === undefined ? {} : { task }),
    ...(user === undefined
      ? {}
      : { onBehalfOf: () => ({ token: user(), tokenType: 'id_token' as const }) }),
  })
  const client = new Client({ name: 'agent', version: '1.0.0' })
  await client.connect(new StreamableHTTPClientTransport(new URL(resource), { fetch: own.fetch }))

  async function call(name: string, input: Record<string, unknown> = {}): Promise<string> {
    const { content } = await client.callTool({ name, arguments: input })
    const [first] = content as { text?: string }[]
    return first?.text ?? ''
  }

  return {
    workload,
    key: own.thumbprint,
    call,
    async hold(tool) {
      const { promise: released, resolve: release } = Promise.withResolvers<void>()
      const { promise: issued, resolve: told } = Promise.withResolvers<string>()
      holding = (jti) => {
        told(jti)
        return released
      }
      const answer = call(tool)
      // It is refused before anybody waits for it.
      answer.catch(() => {})
      return {
        jti: await Promise.race([issued, answer]),
        send() {
          release()
          return answer
        },
      }
    },
    close: () => client.close(),
  }
}
