import type { ServerResponse } from 'node:http'
import type { Verifier } from '../verifier.ts'
import { nodeGate } from './node.ts'
import type { NodeRequest } from './node-request.ts'

/**
 * Express middleware. Everything mounted after it needs a token; handlers find the caller in
 * `req.auth` and the checked message in `req.body`. Also answers the metadata path.
 *
 * Calls `next` with a `TypeError` when a body parser ran before it.
 *
 * @example
 * app.use(expressGate(verifier))
 * app.all('/mcp', (req, res) => transport.handleRequest(req, res, req.body))
 */
export function expressGate(
  verifier: Verifier,
): (req: NodeRequest, res: ServerResponse, next: (error?: unknown) => void) => void {
  const gate = nodeGate(verifier)
  return (req, res, next) => {
    gate(req, res).then((mayRun) => mayRun && next(), next)
  }
}
