/** The official clients, as they come, with the agent as their fetch, against gates that check for real. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import * as v2 from '@modelcontextprotocol/client'
import * as v1 from '@modelcontextprotocol/sdk/client/index.js'
import * as v1http from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createAgent, type Fetch, WritError } from '../../src/agent/index.ts'
import { NOTES_TOOLS } from '../examples/notes-definitions.ts'
import { type NotesServer, startNotesServer } from '../examples/notes-server.ts'
import { IDENTITY, startBroker, type TestBroker } from './servers.ts'

let directory: string
let broker: TestBroker
let notes: NotesServer

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-agent-'))
  broker = await startBroker({ nonces: true, tools: NOTES_TOOLS })
  notes = await startNotesServer({
    issuer: broker.origin,
    port: 0,
    directory,
    feed: broker.feed,
    dpop: { nonceSecret: Buffer.alloc(32, 7) },
  })
})
after(async () => {
  await notes.close()
  await broker.close()
  await rm(directory, { recursive: true })
})

interface Caller {
  call(name: string, args?: Record<string, unknown>): Promise<string>
  tools(): Promise<unknown>
  close(): Promise<void>
}

const SELF = { name: 'agent-test', version: '1.0.0' }

async function connectV1(fetch: Fetch): Promise<Caller> {
  const client = new v1.Client(SELF)
  await client.connect(new v1http.StreamableHTTPClientTransport(new URL(notes.url), { fetch }))
  return {
    call: async (name, args) => wordsOf(await client.callTool({ name, arguments: args })),
    tools: async () => (await client.listTools()).tools,
    close: () => client.close(),
  }
}

function connectV2(mode: 'legacy' | 'auto') {
  return async (fetch: Fetch): Promise<Caller> => {
    const client = new v2.Client(SELF, {
      versionNegotiation: { mode },
      capabilities: { elicitation: { form: {} } },
    })
    client.setRequestHandler('elicitation/create', async () => ({
      action: 'accept' as const,
      content: { sure: true },
    }))
    await client.connect(new v2.StreamableHTTPClientTransport(new URL(notes.url), { fetch }))
    return {
      call: async (name, args) =>
        wordsOf(await client.callTool({ name, ...(args && { arguments: args }) })),
      tools: async () => (await client.listTools()).tools,
      close: () => client.close(),
    }
  }
}

function wordsOf(result: unknown): string {
  const { content } = result as { content: { text: string }[] }
  return content.map(({ text }) => text).join('')
}

const agent = (over: Partial<Parameters<typeof createAgent>[0]> = {}) =>
  createAgent({ broker: broker.origin, identity: () => IDENTITY, ...over })

const clients: [string, (fetch: Fetch) => Promise<Caller>][] = [
  ['SDK v1', connectV1],
  ['SDK v2, older era', connectV2('legacy')],
  ['SDK v2, newer era', connectV2('auto')],
]

for (const [name, connect] of clients) {
  test(`${name}: tools are listed as pinned, called, and do what they say`, async () => {
    const client = await connect(agent().fetch)
    const tools = (await client.tools()) as Record<string, unknown>[]
    assert.deepEqual(
      tools.map((tool) => ({
        name: tool.name,
        description: tool.description,
        inputSchema: withoutDialect(tool.inputSchema),
        annotations: tool.annotations,
      })),
      NOTES_TOOLS,
    )
    const added = await client.call('add_note', { title: name, text: 'once' })
    const id = added.replace('added note ', '')
    assert.match(await client.call('list_notes'), new RegExp(`${id} ${name}`))
    const onDisk = JSON.parse(await readFile(notes.notes.file, 'utf8'))
    assert.deepEqual(onDisk.at(-1), { id, title: name, text: 'once' })
    assert.match(await client.call('delete_note', { id }), /deleted note/)
    assert.equal((await notes.notes.list()).length, 0)
    await client.close()
  })

  test(`${name}: each call has a token of its own, and the rest share one`, async () => {
    const asked = broker.asked.length
    const client = await connect(agent().fetch)
    await client.tools()
    await Promise.all([client.call('list_notes'), client.call('list_notes')])
    await client.close()
    const details = broker.asked.slice(asked).map(({ details: d }) => d?.identifier)
    assert.deepEqual(details, [undefined, 'list_notes', 'list_notes'])
  })

  test(`${name}: a refusal by the broker is told in words`, async () => {
    const client = await connect(agent().fetch)
    broker.instead.push((_, response) => {
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end('{"error":"invalid_grant","error_description":"no policy permits it"}')
    })
    await assert.rejects(client.call('delete_note', { id: '1' }), (error) => {
      assert.ok(error instanceof WritError)
      assert.equal(error.code, 'token_refused')
      assert.match(error.message, /tools\/call "delete_note".*invalid_grant: no policy permits it/)
      return true
    })
    assert.match(await client.call('list_notes'), /no notes/, 'the client goes on')
    await client.close()
  })

  test(`${name}: a refusal by the server is told in words, and the call is not repeated`, async () => {
    let replayed = 0
    const replay: Fetch = async (input, init) => {
      const isCall = String(init?.body).includes('tools/call')
      const response = await fetch(input, init)
      if (
        !isCall ||
        response.status !== 200 ||
        new Headers(init?.headers).get('authorization') === null
      ) {
        return response
      }
      // The very same request again: the thief's view.
      replayed += 1
      await response.body?.cancel()
      return await fetch(input, init)
    }
    const client = await connect(agent({ fetch: replay }).fetch)
    await assert.rejects(client.call('list_notes'), (error) => {
      assert.ok(error instanceof WritError, `${error}`)
      assert.equal(error.code, 'server_refused')
      assert.equal(error.status, 401)
      assert.match(error.message, /refused tools\/call "list_notes"/)
      return true
    })
    assert.equal(replayed, 1)
    await client.close()
  })

  test(`${name}: what stops the first request reaches the caller of connect as it is`, async () => {
    const lost = agent({ identity: () => Promise.reject(new Error('no SVID')) })
    await assert.rejects(connect(lost.fetch), (error) => {
      assert.ok(error instanceof WritError, `${error}`)
      assert.equal(error.code, 'identity_unavailable')
      return true
    })
  })
}

test('SDK v2: a tool that asks back gets its answer under a second token, of the same task', async () => {
  const client = await connectV2('auto')(agent({ task: 'tidy-up' }).fetch)
  const { id } = await notes.notes.add('old', '')
  const asked = broker.asked.length
  assert.equal(await client.call('rename_note', { id, title: 'new' }), `renamed note ${id}`)
  assert.equal((await notes.notes.list()).at(-1)?.title, 'new')
  const rounds = broker.asked.slice(asked).filter(({ details }) => details)
  assert.equal(rounds.length, 2)
  assert.equal(rounds[0]?.details?.input, undefined)
  assert.deepEqual(Object.keys(rounds[1]?.details?.input ?? {}).sort(), [
    'inputResponses',
    'requestState',
  ])
  assert.deepEqual(
    rounds.map(({ details }) => details?.task),
    ['tidy-up', 'tidy-up'],
  )
  await client.close()
})

function withoutDialect(schema: unknown): unknown {
  const { $schema, ...rest } = schema as Record<string, unknown>
  return rest
}
