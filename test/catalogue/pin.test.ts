import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server'
import { catalogueOf } from '../../src/catalogue/catalogue.ts'
import { pinServer } from '../../src/catalogue/pin.ts'
import type { Json, JsonObject } from '../../src/lib/json.ts'

async function listening(server: Server, use: (url: string) => Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

const SCHEMA = {
  type: 'object',
  properties: { a: { type: 'string' } },
  additionalProperties: false,
}

function official(): Server {
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: 'My desk!', version: '1.0.0' })
    const inputSchema = fromJsonSchema<{ a?: string }>(SCHEMA as never)
    server.registerTool('add', { title: 'Add', description: 'adds', inputSchema }, async () => ({
      content: [],
    }))
    server.registerResource('all', 'note://all', {}, async () => ({ contents: [] }))
    return server
  })
  return createServer(toNodeHandler(handler))
}

test('a live server is pinned through the official client, in a form that loads', async () => {
  await listening(official(), async (url) => {
    let asked = 0
    const counting: typeof fetch = (...request) => {
      asked++
      return fetch(...request)
    }
    const pin = await pinServer({ url, fetch: counting, now: 1_800_000_000 })
    assert.ok(asked > 0, 'the given fetch is used')
    assert.equal(pin.name, 'My_desk')
    assert.equal(pin.resource, url)
    assert.equal(pin.pinnedAt, '2027-01-15T08:00:00.000Z')
    const { hash, ...members } = pin.tools[0] as JsonObject
    assert.deepEqual(Object.keys(members).sort(), ['description', 'inputSchema', 'name'])
    assert.equal(typeof hash, 'string')
    assert.equal(pin.resources[0]?.uri, 'note://all')
    const catalogue = catalogueOf([pin])
    assert.equal(catalogue.servers.get(url)?.tools.get('add')?.hash, hash)
  })
})

/** A server of the older era that answers lists in pages; `pages` without end when undefined. */
function legacy(pages: number | undefined, description = ''): Server {
  const answer = (method: string, params: { cursor?: string } = {}): Json | undefined => {
    if (method === 'initialize') {
      return {
        protocolVersion: '2025-11-25',
        capabilities: { tools: {} },
        serverInfo: { name: 'old', version: '1' },
      }
    }
    if (method !== 'tools/list') return undefined
    const page = Number(params.cursor ?? 0)
    return {
      tools: [{ name: `tool_${page}`, description, inputSchema: { type: 'object' } }],
      ...(page + 1 === pages ? {} : { nextCursor: String(page + 1) }),
    }
  }
  return createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const { id, method, params } = text === '' ? {} : JSON.parse(text)
    if (request.method !== 'POST') return response.writeHead(405).end()
    if (id === undefined) return response.writeHead(202).end()
    const result = answer(method, params)
    const error = { code: -32601, message: 'method not found' }
    const reply = result === undefined ? { error } : { result }
    response.writeHead(200, { 'content-type': 'application/json' })
    return response.end(JSON.stringify({ jsonrpc: '2.0', id, ...reply }))
  })
}

test('a server of the older era is pinned too, all pages of it', async () => {
  await listening(legacy(3), async (url) => {
    const pin = await pinServer({ url })
    assert.deepEqual(
      pin.tools.map((tool) => tool.name),
      ['tool_0', 'tool_1', 'tool_2'],
    )
    assert.equal(pin.name, 'old')
  })
})

test('a list that never ends is given up', async () => {
  await listening(legacy(undefined), async (url) => {
    await assert.rejects(pinServer({ url }))
  })
})

test('an answer without measure is given up', async () => {
  await listening(legacy(20, 'x'.repeat(1024 * 1024)), async (url) => {
    await assert.rejects(pinServer({ url }))
  })
})

test('a server that is not there is an error', async () => {
  await assert.rejects(pinServer({ url: 'http://127.0.0.1:9/mcp', timeoutMs: 2000 }))
})
