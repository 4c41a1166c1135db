import type { ServerResponse } from 'node:http'
import { WELL_KNOWN } from '../metadata.ts'
import type { Verifier } from '../verifier.ts'
import { checkNode, headersOf, METADATA_HEADERS, type NodeRequest, pathOf } from './node-request.ts'

/** What of Fastify's request and reply the gate uses. */
export interface FastifyRequestLike {
  readonly raw: NodeRequest
  body: unknown
}
export interface FastifyReplyLike {
  readonly raw: ServerResponse
  code(status: number): FastifyReplyLike
  headers(headers: Record<string, string | string[]>): FastifyReplyLike
  send(body: unknown): FastifyReplyLike
}

/** Any Fastify instance. Its methods are overloaded in ways no structural type of ours would match. */
export interface FastifyInstanceLike {
  readonly addContentTypeParser: unknown
  readonly addHook: unknown
}

/** What of it the gate uses. */
interface Instance {
  removeAllContentTypeParsers(): unknown
  addContentTypeParser(
    type: string,
    parser: (request: never, payload: never, done: (error: null) => void) => void,
  ): unknown
  addHook(name: 'preValidation', hook: (request: never, reply: never) => Promise<unknown>): unknown
  get(path: string, answer: (request: never, reply: never) => unknown): unknown
}

/**
 * A Fastify plugin. Register it in the scope that holds the MCP route: there it takes the place of
 * Fastify's own body parsers and every route needs a token. Handlers find the caller in
 * `request.raw.auth` and the checked message in `request.body`. Adds the metadata routes.
 *
 * Requests fail with a `TypeError` when something read the body before it.
 *
 * @example
 * app.register(async (mcp) => {
 *   mcp.register(fastifyGate(verifier))
 *   mcp.all('/mcp', (request, reply) => {
 *     reply.hijack()
 *     return transport.handleRequest(request.raw, reply.raw, request.body)
 *   })
 * })
 */
export function fastifyGate(verifier: Verifier): (instance: FastifyInstanceLike) => Promise<void> {
  async function plugin(fastify: FastifyInstanceLike): Promise<void> {
    const instance = fastify as unknown as Instance
    instance.removeAllContentTypeParsers()
    // Reads nothing: the bytes are left for the gate.
    instance.addContentTypeParser('*', (_request, _payload, done) => done(null))
    for (const path of new Set([verifier.metadataPath, WELL_KNOWN])) {
      instance.get(path, (_request, reply: FastifyReplyLike) =>
        reply.headers(METADATA_HEADERS).send(verifier.metadata()),
      )
    }
    instance.addHook(
      'preValidation',
      async (request: FastifyRequestLike, reply: FastifyReplyLike) => {
        if (verifier.metadataFor(request.raw.method ?? '', pathOf(request.raw))) return undefined
        const outcome = await checkNode(verifier, request.raw, reply.raw)
        if (!outcome.allowed) {
          return reply.code(outcome.status).headers(headersOf(outcome)).send(outcome.body)
        }
        request.body = request.raw.body
        return undefined
      },
    )
  }
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true })
}
