import type { ServerResponse } from 'node:http'
import type { Verifier } from '../verifier.ts'
import { checkNode, type NodeRequest, writeMetadata, writeRefusal } from './node-request.ts'

/**
 * A gate for `node:http`. Answers `true` when the request may run, with `req.auth` and `req.body`
 * set; `false` when it has been answered.
 *
 * @throws {TypeError} (as a rejection) when something read the body before
 * @example
 * const gate = nodeGate(verifier)
 * createServer(async (req, res) => {
 *   if (await gate(req, res)) await transport.handleRequest(req, res, req.body)
 * })
 */
export function nodeGate(
  verifier: Verifier,
): (req: NodeRequest, res: ServerResponse) => Promise<boolean> {
  return async (req, res) => {
    if (writeMetadata(verifier, req, res)) return false
    const outcome = await checkNode(verifier, req, res)
    if (!outcome.allowed) writeRefusal(outcome, res)
    return outcome.allowed
  }
}
