import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { z } from 'zod'
import { temporaryDirectory, writ } from './writ.ts'

/** A live MCP server whose tool has the given description. */
async function live(t: TestContext, description: string): Promise<string> {
  const http = createServer(async (request, response) => {
    const server = new McpServer({ name: 'ledgerbook', version: '1.0.0' })
    const inputSchema = { amount: z.number().int() }
    server.registerTool('transfer_funds', { description, inputSchema }, () => ({ content: [] }))
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined })
    await server.connect(transport as never)
    await transport.handleRequest(request, response)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    http.close()
    http.closeAllConnections()
  })
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`
}

test('what a live server offers is pinned, and a change of it is seen', async (t) => {
  const cwd = await temporaryDirectory(t)
  const url = await live(t, 'moves money')
  const pinned = await writ(['catalogue', 'pin', url, '--output', 'pins.json', '--json'], { cwd })
  assert.equal(pinned.code, 0, pinned.stdout)
  const pins = JSON.parse(await readFile(join(cwd, 'pins.json'), 'utf8'))
  assert.equal(pins.resource, url)
  assert.equal(pins.tools[0].name, 'transfer_funds')

  const same = await writ(['catalogue', 'diff', 'pins.json', url, '--json'], { cwd })
  assert.equal(same.code, 0)
  assert.deepEqual(same.json(), { ok: true, same: true, differences: [] })

  const changed = await live(t, 'moves all the money')
  const ended = await writ(['catalogue', 'diff', 'pins.json', changed], { cwd })
  assert.equal(ended.code, 1)
  assert.match(ended.stdout, /changed tool transfer_funds \(description/)
})

test('a pin goes to standard output when no file is named', async (t) => {
  const cwd = await temporaryDirectory(t)
  const url = await live(t, 'moves money')
  const ended = await writ(['catalogue', 'pin', url], { cwd })
  assert.equal(ended.code, 0)
  assert.equal(ended.json().resource, url)
})

test('a server that cannot be reached is told apart from a wrong command line', async (t) => {
  const cwd = await temporaryDirectory(t)
  const down = await writ(['catalogue', 'pin', 'http://127.0.0.1:1/mcp', '--json'], { cwd })
  assert.equal(down.code, 3)
  assert.equal((await writ(['catalogue', 'pin', 'nonsense'], { cwd })).code, 2)
  assert.equal((await writ(['catalogue', 'diff', 'a.json', 'b.json'], { cwd })).code, 2)
  await writeFile(join(cwd, 'list.json'), '[]')
  assert.equal((await writ(['catalogue', 'diff', 'list.json', 'list.json'], { cwd })).code, 2)
  const half = ['catalogue', 'pin', 'http://127.0.0.1:1/mcp', '--broker', 'http://127.0.0.1:2']
  assert.equal((await writ(half, { cwd })).code, 2)
})
