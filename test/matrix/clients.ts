/** The official clients, each with our agent's `fetch` and nothing else of ours. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Fetch } from '../../src/agent/index.ts'

export interface ConnectedClient {
  /** The text a tool answered. */
  call(tool: string, text: string): Promise<string>
  list(): Promise<string[]>
  close(): Promise<void>
}

const info = { name: 'matrix', version: '1.0.0' }

async function connectV1(url: string, fetch: Fetch): Promise<ConnectedClient> {
  const client = new ClientV1(info)
  await client.connect(new TransportV1(new URL(url), { fetch }) as never)
  return {
    call: async (name, text) => textOf(await client.callTool({ name, arguments: { text } })),
    list: async () => (await client.listTools()).tools.map((tool) => tool.name),
    close: () => client.close(),
  }
}

async function connectV2(
  mode: 'legacy' | 'modern',
  url: string,
  fetch: Fetch,
): Promise<ConnectedClient> {
  const client = new Client(info, {
    capabilities: { elicitation: { form: {} } },
    versionNegotiation: { mode: mode === 'legacy' ? 'legacy' : { pin: '2026-07-28' } },
  })
  client.setRequestHandler('elicitation/create', async () => ({
    action: 'accept',
    content: { sure: true },
  }))
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch }))
  return {
    call: async (name, text) => textOf(await client.callTool({ name, arguments: { text } })),
    list: async () => (await client.listTools()).tools.map((tool) => tool.name),
    close: () => client.close(),
  }
}

function textOf(result: object): string {
  const { content } = result as { content?: { text?: string }[] }
  return content?.[0]?.text ?? ''
}

export const CLIENTS: Record<string, (url: string, fetch: Fetch) => Promise<ConnectedClient>> = {
  'SDK v1': connectV1,
  'SDK v2, older era': (url, fetch) => connectV2('legacy', url, fetch),
  'SDK v2, newer era': (url, fetch) => connectV2('modern', url, fetch),
}
