// The client under test for workload identity federation (SEP-1933): an unmodified MCP SDK client with
// our agent as its fetch. The suite gives the workload's JWT, and an authorization server that issues
// unbound tokens, which the agent takes for this test only.
import * as v2 from '@modelcontextprotocol/client'
import * as v1 from '@modelcontextprotocol/sdk/client/index.js'
import * as v1http from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createAgent } from '../../src/agent/index.ts'

const url = new URL(process.argv.at(-1) ?? '')
const { valid_jwt: jwt } = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '')
const self = { name: 'writ-conformance', version: '1.0.0' }

/** An agent is told who its broker is. Here the server says it (RFC 9728 §3.1). */
async function authorizationServer(): Promise<string> {
  const at = new URL(`/.well-known/oauth-protected-resource${url.pathname}`, url)
  const metadata = (await (await fetch(at)).json()) as { authorization_servers: [string] }
  return metadata.authorization_servers[0]
}

const agent = createAgent({
  broker: await authorizationServer(),
  identity: () => jwt,
  grant: 'jwt-bearer',
  unsafeAcceptBearer: 'for conformance tests only',
})
const options = { fetch: agent.fetch }

if (process.env.WRIT_SDK === 'v1') {
  const client = new v1.Client(self)
  await client.connect(new v1http.StreamableHTTPClientTransport(url, options))
  await client.listTools()
  await client.callTool({ name: 'test-tool', arguments: {} })
  await client.close()
} else {
  const modern = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION === '2026-07-28'
  const client = new v2.Client(
    self,
    modern ? { versionNegotiation: { mode: { pin: '2026-07-28' } } } : {},
  )
  await client.connect(new v2.StreamableHTTPClientTransport(url, options))
  await client.listTools()
  await client.callTool({ name: 'test-tool', arguments: {} })
  await client.close()
}
