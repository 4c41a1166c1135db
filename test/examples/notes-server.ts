/**
 * An example MCP server: notes in a file, on SDK v2, for clients of both protocol eras, behind a
 * gate that lets one call through per token.
 */
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { toNodeHandler } from '@modelcontextprotocol/node'
import {
  type CallToolResult,
  createMcpHandler,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
  inputResponse,
  McpServer,
} from '@modelcontextprotocol/server'
import { memoryLedger } from '../../src/ledger/memory.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { createVerifier, nodeGate, type VerifierOptions } from '../../src/verifier/index.ts'
import { Notes } from './notes.ts'
import { NOTES_TOOLS } from './notes-definitions.ts'

export interface NotesServerOptions
  extends Partial<
    Pick<
      VerifierOptions,
      'ledger' | 'audit' | 'keys' | 'feed' | 'dpop' | 'clock' | 'staleAfterMs' | 'reports'
    >
  > {
  /** The broker whose tokens are good here. */
  readonly issuer: string
  /** 4474 by default; 0 for any that is free. */
  readonly port?: number
  /** Where the notes and the audit log are kept. */
  readonly directory: string
}

export interface NotesServer {
  readonly url: string
  /** What tokens must be made for; equal to `url`. */
  readonly resource: string
  readonly definitions: readonly JsonObject[]
  readonly notes: Notes
  close(): Promise<void>
}

/** Listens on loopback; resolves when tokens can be checked. */
export async function startNotesServer(options: NotesServerOptions): Promise<NotesServer> {
  const { issuer, port = 4474, directory, ...parts } = options
  await mkdir(directory, { recursive: true })
  const notes = new Notes(directory)
  const http = createServer()
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject).listen(port, '127.0.0.1', resolve)
  })
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`

  const verifier = createVerifier({
    issuer,
    resource: url,
    ledger: memoryLedger(),
    definitions: NOTES_TOOLS,
    audit: { file: join(directory, 'audit.jsonl') },
    ...parts,
  })
  const ready = verifier.ready()
  const gate = nodeGate(verifier)
  const confirmations = createRequestStateCodec<Confirmation>({ key: randomBytes(32) })
  const mcp = createMcpHandler(() => notesServer(notes, confirmations))
  const answer = toNodeHandler(mcp)
  http.on('request', async (request: IncomingMessage & { body?: unknown }, response) => {
    // Who calls while the server starts waits, and is not refused for want of keys.
    await ready.catch(() => {})
    if (await gate(request, response)) await answer(request, response, request.body)
  })
  const close = async () => {
    await mcp.close()
    await verifier.close()
    await closed(http)
  }
  await ready.catch(async (error: unknown) => {
    await close()
    throw error
  })
  return { url, resource: url, definitions: NOTES_TOOLS, notes, close }
}

function closed(http: Server): Promise<void> {
  return new Promise((resolve) => {
    http.close(() => resolve())
    http.closeAllConnections()
  })
}

/** What the user was asked, so that the answer can be used for nothing else. */
interface Confirmation {
  readonly id: string
  readonly title: string
}

type Confirmations = ReturnType<typeof createRequestStateCodec<Confirmation>>

function notesServer(notes: Notes, confirmations: Confirmations): McpServer {
  const server = new McpServer(
    { name: 'notes', version: '1.0.0' },
    { requestState: { verify: confirmations.verify } },
  )
  const [list, add, rename, remove] = NOTES_TOOLS
  server.registerTool(list.name, settings<object>(list), async () => {
    const lines = (await notes.list()).map((note) => `${note.id} ${note.title}`)
    return text(lines.join('\n') || 'no notes yet')
  })
  server.registerTool(
    add.name,
    settings<{ title: string; text: string }>(add),
    async ({ title, text: body }) => text(`added note ${(await notes.add(title, body)).id}`),
  )
  server.registerTool(
    rename.name,
    settings<{ id: string; title: string }>(rename),
    async ({ id, title }, context) => {
      const answer = inputResponse(context.mcpReq.inputResponses, 'sure')
      const asked = context.mcpReq.requestState<Confirmation>()
      if (answer.kind !== 'elicit' || asked?.id !== id || asked.title !== title) {
        const requestState = await confirmations.mint({ id, title })
        return inputRequired({ inputRequests: { sure: confirmation(id, title) }, requestState })
      }
      if (answer.action !== 'accept' || answer.content?.sure !== true) {
        return text('kept the old title')
      }
      const renamed = await notes.rename(id, title)
      return renamed ? text(`renamed note ${id}`) : failure(`there is no note ${id}`)
    },
  )
  server.registerTool(remove.name, settings<{ id: string }>(remove), async ({ id }) => {
    const gone = await notes.delete(id)
    return gone ? text(`deleted note ${id}, "${gone.title}"`) : failure(`there is no note ${id}`)
  })
  return server
}

function confirmation(id: string, title: string) {
  return inputRequired.elicit({
    message: `Rename note ${id} to "${title}"?`,
    requestedSchema: {
      type: 'object',
      properties: { sure: { type: 'boolean', title: 'Yes, rename it' } },
      required: ['sure'],
    },
  })
}

function settings<Arguments>({
  description,
  inputSchema,
  annotations,
}: (typeof NOTES_TOOLS)[number]) {
  return {
    description,
    inputSchema: fromJsonSchema<Arguments>(inputSchema as never),
    annotations: { ...annotations },
  }
}

function text(words: string): CallToolResult {
  return { content: [{ type: 'text', text: words }] }
}

function failure(words: string): CallToolResult {
  return { ...text(words), isError: true }
}
