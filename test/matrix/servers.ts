/** Real MCP servers of both SDKs, mounted the way their authors would, behind each of the six gates. */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { McpServer as McpServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import {
  acceptedContent,
  type CallToolResult,
  createMcpHandler,
  fromJsonSchema,
  inputRequired,
  McpServer,
} from '@modelcontextprotocol/server'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { z } from 'zod'
import { memoryLedger } from '../../src/ledger/memory.ts'
import {
  type Admission,
  type AuditRecord,
  createVerifier,
  expressGate,
  fastifyGate,
  fetchGate,
  honoGate,
  koaGate,
  nodeGate,
  nodePeer,
  type Verifier,
} from '../../src/verifier/index.ts'

const schema = {
  type: 'object',
  properties: { text: { type: 'string' } },
  required: ['text'],
  additionalProperties: false,
} as const

/** As a catalogue would pin them. */
export const TOOLS = [
  { name: 'add', description: 'Adds a note', inputSchema: schema },
  { name: 'drop', description: 'Drops every note', inputSchema: schema },
  {
    name: 'confirm',
    description: 'Adds a note when told that it is all right',
    inputSchema: schema,
  },
]

type NodeRequest = IncomingMessage & { body?: unknown }

/** What a server of either SDK offers to the gates: one face for Node, one for fetch. */
export interface Served {
  /** What its tools have done, in order. */
  readonly ran: string[]
  node(req: NodeRequest, res: ServerResponse, body: unknown): Promise<unknown>
  fetch(request: Request, admission: Admission): Promise<Response>
}

/** SDK v2: both eras, a fresh server for each request. */
export function serveV2(): Served {
  const ran: string[] = []
  const settings = { inputSchema: fromJsonSchema<{ text: string }>(schema) }
  const make = () => {
    const server = new McpServer({ name: 'v2', version: '1.0.0' })
    for (const name of ['add', 'drop']) {
      server.registerTool(name, settings, async ({ text }, context) => {
        ran.push(`${name} ${text}`)
        return words(`${name} ${text} for ${context.http?.authInfo?.clientId}`)
      })
    }
    server.registerTool('confirm', settings, async ({ text }, context) => {
      const sure = acceptedContent<{ sure?: boolean }>(context.mcpReq.inputResponses, 'sure')
      if (sure?.sure === true) {
        ran.push(`confirm ${text}`)
        return words(`confirm ${text}`)
      }
      const requestedSchema = { type: 'object', properties: { sure: { type: 'boolean' } } } as const
      return inputRequired({
        inputRequests: { sure: inputRequired.elicit({ message: 'sure?', requestedSchema }) },
      })
    })
    return server
  }
  const handler = createMcpHandler(make)
  const node = toNodeHandler(handler)
  return {
    ran,
    node: (req, res, body) => node(req, res, body),
    fetch: (request, admission) => handler.fetch(request, admission),
  }
}

function words(text: string): CallToolResult {
  return { content: [{ type: 'text', text }] }
}

/** SDK v1: the older era with sessions, one transport for each, found by `Mcp-Session-Id`. */
export function serveV1(): Served {
  const ran: string[] = []
  const nodes = new Map<string, StreamableHTTPServerTransport>()
  const webs = new Map<string, WebStandardStreamableHTTPServerTransport>()
  const make = () => {
    const server = new McpServerV1({ name: 'v1', version: '1.0.0' })
    for (const name of ['add', 'drop']) {
      server.registerTool(name, { inputSchema: { text: z.string() } }, async ({ text }, extra) => {
        ran.push(`${name} ${text}`)
        return {
          content: [{ type: 'text', text: `${name} ${text} for ${extra.authInfo?.clientId}` }],
        }
      })
    }
    return server
  }
  return {
    ran,
    async node(req, res, body) {
      const known = nodes.get(String(req.headers['mcp-session-id']))
      if (known !== undefined) return known.handleRequest(req as never, res, body)
      const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => void nodes.set(id, transport),
      })
      await make().connect(transport as never)
      return transport.handleRequest(req as never, res, body)
    },
    async fetch(request, admission) {
      const known = webs.get(request.headers.get('mcp-session-id') ?? '')
      if (known !== undefined) return known.handleRequest(request, admission)
      const transport = new WebStandardStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => void webs.set(id, transport),
      })
      await make().connect(transport as never)
      return transport.handleRequest(request, admission)
    },
  }
}

type Listener = (req: IncomingMessage, res: ServerResponse) => void

/** How an author mounts each gate. */
export const GATES: Record<
  string,
  (verifier: Verifier, mcp: Served) => Listener | Promise<Listener>
> = {
  express(verifier, mcp) {
    const app = express()
    app.use(expressGate(verifier))
    app.all('/mcp', (req, res) => mcp.node(req, res, req.body))
    return app
  },
  hono(verifier, mcp) {
    const app = new Hono<{ Variables: { auth: Admission['authInfo']; parsedBody: unknown } }>()
    app.use(honoGate(verifier))
    app.all('/mcp', (c) =>
      mcp.fetch(c.req.raw, { authInfo: c.get('auth'), parsedBody: c.get('parsedBody') }),
    )
    return getRequestListener(app.fetch)
  },
  async fastify(verifier, mcp) {
    const app = Fastify()
    await app.register(async (scope) => {
      scope.register(fastifyGate(verifier))
      scope.all('/mcp', async (request, reply) => {
        reply.hijack()
        await mcp.node(request.raw, reply.raw, request.body)
      })
    })
    await app.ready()
    return (req, res) => app.routing(req, res)
  },
  koa(verifier, mcp) {
    const app = new Koa()
    app.silent = true
    app.use(koaGate(verifier))
    app.use(async (ctx) => {
      ctx.respond = false
      await mcp.node(ctx.req, ctx.res, (ctx.request as { body?: unknown }).body)
    })
    return app.callback()
  },
  node(verifier, mcp) {
    const gate = nodeGate(verifier)
    return async (req: NodeRequest, res) => {
      if (await gate(req, res)) await mcp.node(req, res, req.body)
    }
  },
  fetch(verifier, mcp) {
    return getRequestListener(
      fetchGate(verifier, (request, admission) => mcp.fetch(request, admission), {
        peer: (_request, { incoming }: { incoming: { socket: Socket } }) => nodePeer(incoming),
      }),
    )
  },
}

export interface RunningServer {
  readonly url: string
  readonly ran: string[]
  readonly records: AuditRecord[]
  close(): Promise<void>
}

/** An address that listens already, so that the broker can be told of it, and nothing behind it yet. */
export interface Place {
  readonly url: string
  readonly http: Server
}

export async function reserve(): Promise<Place> {
  const http = createServer()
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return { http, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp` }
}

/** Puts a server behind one gate at a reserved place. */
export async function startServer(
  { http, url }: Place,
  gate: string,
  mcp: Served,
  issuer: string,
): Promise<RunningServer> {
  const records: AuditRecord[] = []
  const verifier = createVerifier({
    issuer,
    resource: url,
    ledger: memoryLedger(),
    definitions: TOOLS,
    audit: (record) => void records.push(record),
  })
  http.on('request', await GATES[gate]!(verifier, mcp))
  await verifier.ready()
  return {
    url,
    ran: mcp.ran,
    records,
    async close() {
      await verifier.close()
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}
