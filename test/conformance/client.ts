// The client under test: an unmodified MCP SDK client with our DPoP layer as its fetch. The SDK's
// own DPoP stays unset. The suite appends the server's URL; WRIT_SDK says which SDK to use,
// WRIT_BEARER whether its server issues Bearer tokens.
import * as v2 from '@modelcontextprotocol/client'
import * as v1 from '@modelcontextprotocol/sdk/client/index.js'
import * as v1http from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createDpopFetch } from '../../src/agent/index.ts'
import { MemoryOAuth } from './memory-oauth.ts'

const url = new URL(process.argv.at(-1) ?? '')
const allowBearer = process.env.WRIT_BEARER === '1'
const authProvider = new MemoryOAuth()
const options = { authProvider, fetch: createDpopFetch({ allowBearer }) }
const self = { name: 'writ-conformance', version: '1.0.0' }

/** Signs in when the server asks for it, as a person would, and connects again. */
async function connect(attempt: () => Promise<{ finishAuth(): Promise<void> } | undefined>) {
  const waiting = await attempt()
  if (waiting === undefined) return
  await waiting.finishAuth()
  if ((await attempt()) !== undefined) throw new Error('still not authorized after signing in')
}

async function runV1(): Promise<void> {
  let client = new v1.Client(self)
  await connect(async () => {
    client = new v1.Client(self)
    const transport = new v1http.StreamableHTTPClientTransport(url, options)
    try {
      await client.connect(transport)
      return undefined
    } catch (error) {
      const code = authProvider.answer?.get('code')
      if (code === undefined || code === null) throw error
      return { finishAuth: () => transport.finishAuth(code) }
    }
  })
  await client.listTools()
  await client.callTool({ name: 'test-tool', arguments: {} })
  await client.close()
}

async function runV2(): Promise<void> {
  const modern = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION === '2026-07-28'
  const settings = modern ? { versionNegotiation: { mode: { pin: '2026-07-28' } } } : {}
  let client = new v2.Client(self, settings)
  await connect(async () => {
    client = new v2.Client(self, settings)
    const transport = new v2.StreamableHTTPClientTransport(url, options)
    try {
      await client.connect(transport)
      return undefined
    } catch (error) {
      const { answer } = authProvider
      if (answer === undefined) throw error
      return { finishAuth: () => transport.finishAuth(answer) }
    }
  })
  await client.listTools()
  await client.callTool({ name: 'test-tool', arguments: {} })
  await client.close()
}

await (process.env.WRIT_SDK === 'v1' ? runV1() : runV2())
