/** Over HTTP/2 Node hides that a field came twice; what was sent is in the raw list alone. */
import assert from 'node:assert/strict'
import { connect, createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { createVerifier, nodeGate } from '../../src/verifier/index.ts'
import { callMessage, claimsFor, mint, options, request } from './rig.ts'

const rig = await options()
const verifier = createVerifier(rig.options)
await verifier.ready()
const gate = nodeGate(verifier)
const server = createServer(async (req, res) => {
  if (await gate(req as never, res as never)) res.end('{}')
})
before(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)))
after(async () => {
  await new Promise((resolve) => server.close(resolve))
  await verifier.close()
  await rig.publisher.close()
})

const NAMES = ['accept', 'content-type', 'authorization', 'dpop']

/** Sends a right request with these fields besides, which a well-behaved client would not send. */
async function ask(besides: string[], authority = 'mcp.example'): Promise<number | undefined> {
  const { port } = server.address() as AddressInfo
  const session = connect(`http://127.0.0.1:${port}`, { strictSingleValueFields: false } as object)
  const sent = request({ token: mint(claimsFor({})), message: callMessage() })
  const fields = [':method', 'POST', ':path', '/mcp', ':scheme', 'http', ':authority', authority]
  for (const name of NAMES) for (const value of sent.headers(name)) fields.push(name, value)
  const stream = session.request([...fields, ...besides] as never)
  stream.end(sent.body)
  try {
    return await new Promise((resolve, reject) => {
      stream.on('response', (answer) => resolve(answer[':status']))
      stream.on('error', reject)
    })
  } finally {
    session.destroy()
  }
}

describe('over HTTP/2', () => {
  const cases: [title: string, besides: string[], status: number, authority?: string][] = [
    ['a right request is allowed', [], 200],
    ['a Host that equals the authority is allowed', ['host', 'mcp.example'], 200],
    ['a second Authorization is seen', ['authorization', 'DPoP of.another.token'], 401],
    ['a second Content-Type is seen', ['content-type', 'text/plain'], 400],
    ['a Host of somebody else beside our authority is seen', ['host', 'evil.example'], 403],
    [
      'our Host beside the authority of somebody else is seen',
      ['host', 'mcp.example'],
      403,
      'evil.example',
    ],
  ]
  for (const [title, besides, status, authority] of cases) {
    test(title, async () => assert.equal(await ask(besides, authority), status))
  }
})
