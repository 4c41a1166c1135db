/** What a call does while it runs: progress arrives, and a cancelled call stops at the server. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import * as v2 from '@modelcontextprotocol/client'
import { toNodeHandler } from '@modelcontextprotocol/node'
import * as v1 from '@modelcontextprotocol/sdk/client/index.js'
import * as v1http from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server'
import { createAgent } from '../../src/agent/index.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { createVerifier, nodeGate, type Verifier } from '../../src/verifier/index.ts'
import { IDENTITY, startBroker, type TestBroker } from './servers.ts'

let broker: TestBroker
let verifier: Verifier
let url: URL
const http = createServer()
/** Settles with the reason when the tool's own signal says that its caller is gone. */
let stopped: PromiseWithResolvers<void>

function slowServer(): McpServer {
  const server = new McpServer({ name: 'slow', version: '1.0.0' })
  const inputSchema = fromJsonSchema<{ wait: boolean }>({
    type: 'object',
    properties: { wait: { type: 'boolean' } },
  })
  server.registerTool(
    'count',
    { description: 'Counts.', inputSchema },
    async ({ wait }, context) => {
      const { _meta, notify, signal } = context.mcpReq
      const progressToken = _meta?.progressToken
      if (progressToken !== undefined) {
        for (const progress of [1, 2]) {
          await notify({ method: 'notifications/progress', params: { progressToken, progress } })
        }
      }
      if (wait) {
        await new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => resolve(), { once: true })
        })
        stopped.resolve()
      }
      return { content: [{ type: 'text', text: 'counted' }] }
    },
  )
  return server
}

before(async () => {
  broker = await startBroker()
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  url = new URL(`http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`)
  verifier = createVerifier({
    issuer: broker.origin,
    resource: url.href,
    ledger: memoryLedger(),
    definitions: 'unchecked',
    audit: () => {},
    feed: broker.feed,
  })
  const gate = nodeGate(verifier)
  const answer = toNodeHandler(createMcpHandler(slowServer))
  http.on('request', async (request: IncomingMessage & { body?: unknown }, response) => {
    if (await gate(request, response)) await answer(request, response, request.body)
  })
  await verifier.ready()
})
after(async () => {
  http.closeAllConnections()
  http.close()
  await verifier.close()
  await broker.close()
})

const agentFetch = () => createAgent({ broker: broker.origin, identity: () => IDENTITY }).fetch
const SELF = { name: 'agent-test', version: '1.0.0' }

type Options = { signal?: AbortSignal; onprogress?: (progress: { progress: number }) => void }
type Connected = {
  count(wait: boolean, options: Options): Promise<unknown>
  close(): Promise<void>
}

async function connectV1(): Promise<Connected> {
  const client = new v1.Client(SELF)
  await client.connect(new v1http.StreamableHTTPClientTransport(url, { fetch: agentFetch() }))
  return {
    count: (wait, options) =>
      client.callTool({ name: 'count', arguments: { wait } }, undefined, options),
    close: () => client.close(),
  }
}

const connectV2 = (mode: 'legacy' | 'auto') => async (): Promise<Connected> => {
  const client = new v2.Client(SELF, { versionNegotiation: { mode } })
  await client.connect(new v2.StreamableHTTPClientTransport(url, { fetch: agentFetch() }))
  return {
    count: (wait, options) => client.callTool({ name: 'count', arguments: { wait } }, options),
    close: () => client.close(),
  }
}

const clients: [string, () => Promise<Connected>][] = [
  ['SDK v1', connectV1],
  ['SDK v2, older era', connectV2('legacy')],
  ['SDK v2, newer era', connectV2('auto')],
]

for (const [name, connect] of clients) {
  test(`${name}: progress arrives while the call runs`, async () => {
    const client = await connect()
    const seen: number[] = []
    await client.count(false, { onprogress: ({ progress }) => void seen.push(progress) })
    assert.deepEqual(seen, [1, 2])
    await client.close()
  })

  test(`${name}: a call that is cancelled rejects, and the client goes on`, async () => {
    stopped = Promise.withResolvers()
    const client = await connect()
    const controller = new AbortController()
    const call = client.count(true, {
      signal: controller.signal,
      onprogress: () => controller.abort('enough'),
    })
    await assert.rejects(call, /enough/)
    // Only the newer era cancels by closing the response; there, the tool itself must notice.
    if (name.endsWith('newer era')) await stopped.promise
    await client.count(false, {})
    await client.close()
  })
}
