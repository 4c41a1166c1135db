import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { hashDefinition } from '../../src/action/hash.ts'
import { createAgent, type Fetch } from '../../src/agent/index.ts'
import { IDENTITY, startBroker, type TestBroker } from '../agent/servers.ts'
import { Notes } from './notes.ts'
import { NOTES_TOOLS } from './notes-definitions.ts'
import { type NotesServer, startNotesServer } from './notes-server.ts'

let directory: string
let broker: TestBroker
let server: NotesServer

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-notes-'))
  broker = await startBroker({ tools: NOTES_TOOLS })
  server = await startNotesServer({ issuer: broker.origin, port: 0, directory, feed: broker.feed })
})
after(async () => {
  await server.close()
  await broker.close()
  await rm(directory, { recursive: true })
})

test('the example catalogue pins what the example server offers', async () => {
  const file = new URL('../../config/catalogue/example.json', import.meta.url)
  const { resource, tools } = JSON.parse(await readFile(file, 'utf8'))
  assert.equal(resource, 'http://127.0.0.1:4474/mcp')
  const hashes = (list: readonly { name: string }[]) =>
    list.map((tool) => [tool.name, hashDefinition(tool as never)]).sort()
  assert.deepEqual(hashes(tools), hashes(NOTES_TOOLS))
})

test('of many notes added at once, none is lost and no id is given twice', async () => {
  const notes = new Notes(await mkdtemp(join(directory, 'many-')))
  const added = await Promise.all(Array.from({ length: 50 }, (_, n) => notes.add(`note ${n}`, '')))
  assert.equal(new Set(added.map(({ id }) => id)).size, 50)
  assert.equal((await new Notes(join(notes.file, '..')).list()).length, 50)
  assert.equal(await notes.delete('51'), undefined)
  assert.equal(await notes.rename('51', 'x'), undefined)
})

type Answer = { action: 'accept' | 'decline' | 'cancel'; content?: { sure: boolean } }

async function connect(answer: Answer, fetch: Fetch = globalThis.fetch): Promise<Client> {
  const client = new Client(
    { name: 'notes-test', version: '1.0.0' },
    { versionNegotiation: { mode: 'auto' }, capabilities: { elicitation: { form: {} } } },
  )
  client.setRequestHandler('elicitation/create', async () => answer)
  const agent = createAgent({ broker: broker.origin, identity: () => IDENTITY, fetch })
  await client.connect(
    new StreamableHTTPClientTransport(new URL(server.url), { fetch: agent.fetch }),
  )
  return client
}

async function rename(client: Client, id: string): Promise<unknown> {
  const result = await client.callTool({ name: 'rename_note', arguments: { id, title: 'new' } })
  await client.close()
  return (result.content as { text: string }[])[0]?.text
}

const answers: [Answer, RegExp][] = [
  [{ action: 'accept', content: { sure: true } }, /^renamed note/],
  [{ action: 'accept', content: { sure: false } }, /^kept/],
  [{ action: 'decline' }, /^kept/],
  [{ action: 'cancel' }, /^kept/],
]
for (const [answer, words] of answers) {
  test(`a note is renamed only by a yes: ${JSON.stringify(answer)}`, async () => {
    const { id } = await server.notes.add('old', '')
    assert.match(String(await rename(await connect(answer), id)), words)
    const title = (await server.notes.list()).find((note) => note.id === id)?.title
    assert.equal(title, words.test('renamed note') ? 'new' : 'old')
  })
}

test('a yes for one note renames no other', async () => {
  const one = await server.notes.add('one', '')
  const two = await server.notes.add('two', '')
  // The client asks for one note, takes the question's state, and answers about another.
  let state: string | undefined
  const spy: Fetch = async (input, init) => {
    const response = await fetch(input, init)
    const text = await response.clone().text()
    state ??= /"requestState":"([^"]+)"/.exec(text)?.[1]
    return response
  }
  await rename(await connect({ action: 'decline' }, spy), one.id)
  assert.ok(state)
  const agent = createAgent({ broker: broker.origin, identity: () => IDENTITY })
  const response = await agent.fetch(server.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'tools/call',
      'mcp-name': 'rename_note',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: {
        name: 'rename_note',
        arguments: { id: two.id, title: 'new' },
        inputResponses: { sure: { action: 'accept', content: { sure: true } } },
        requestState: state,
        _meta: {
          'io.modelcontextprotocol/protocolVersion': '2026-07-28',
          'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} } },
        },
      },
    }),
  })
  assert.match(await response.text(), /input_required/)
  assert.equal((await server.notes.list()).find(({ id }) => id === two.id)?.title, 'two')
})
