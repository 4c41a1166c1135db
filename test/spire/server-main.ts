// An MCP server that proves itself by the X.509-SVID it gets of SPIRE, and lets one call through per token:
// node test/spire/server-main.ts '{"issuer":"…","resource":"https://127.0.0.1:…/mcp","socket":"unix:///…","auditFile":"…","staleAfterMs":1000}'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { openWorkloadApi, pemOf, type X509Context } from '../../src/spiffe/index.ts'
import { createVerifier, nodeGate } from '../../src/verifier/index.ts'
import { TOOLS } from './tools.ts'

interface ServerConfig {
  readonly issuer: string
  readonly resource: string
  readonly socket: string
  readonly auditFile: string
  readonly staleAfterMs: number
}

const config = JSON.parse(process.argv[2] ?? '{}') as ServerConfig
const { issuer, resource, socket, auditFile, staleAfterMs } = config

const api = openWorkloadApi({ socket })
const server = createServer({
  ...certificateOf(await api.x509()),
  // Which certificates count is the verifier's to say: those that a token names.
  requestCert: true,
  rejectUnauthorized: false,
})
api.onX509((context) => {
  if (context !== undefined) server.setSecureContext(certificateOf(context))
})

const verifier = createVerifier({
  issuer,
  resource,
  ledger: memoryLedger(),
  definitions: TOOLS,
  audit: { file: auditFile },
  certificates: true,
  staleAfterMs,
})
const gate = nodeGate(verifier)
const answer = toNodeHandler(
  createMcpHandler(() => {
    const mcp = new McpServer({ name: 'greeter', version: '1.0.0' })
    const [{ name, description, inputSchema, annotations }] = TOOLS as [(typeof TOOLS)[number]]
    const settings = {
      description,
      inputSchema: fromJsonSchema<{ name: string }>(inputSchema as never),
      annotations,
    }
    mcp.registerTool(name, settings, async ({ name: whom }) => ({
      content: [{ type: 'text', text: `hello, ${whom}` }],
    }))
    return mcp
  }),
)
server.on('request', async (request: IncomingMessage & { body?: unknown }, response) => {
  if (await gate(request, response)) await answer(request, response, request.body)
})
await verifier.ready()
const { hostname, port } = new URL(resource)
server.listen(Number(port), hostname, () => process.stdout.write(`listening on ${resource}\n`))

process.once('SIGTERM', async () => {
  server.close()
  server.closeAllConnections()
  await verifier.close()
  api.close()
  process.exit(0)
})

function certificateOf({ svids: [svid] }: X509Context): { cert: string; key: string } {
  if (svid === undefined) throw new Error('this server has no X.509-SVID')
  return pemOf(svid)
}
