// An agent that knows nothing of itself but where the Workload API is. It is told by messages what to call,
// and by which of its faces: `jwt` shows the broker a JWT-SVID, `x509` its certificate, and `mtls` has its
// tokens bound to that certificate as well.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { type AgentOptions, createAgent } from '../../src/agent/index.ts'
import { createSpiffe } from '../../src/spiffe/index.ts'
import type { AgentConfig, Face, Instruction, Report, Shown } from './agent.ts'

const config = JSON.parse(process.argv[2] ?? '{}') as AgentConfig
const { broker, brokerSpiffeId, resource, socket } = config
const { jwt, connect: spiffe, api } = createSpiffe({ audience: broker, socket })

const FACES: Record<Face, () => AgentOptions> = {
  jwt: () => ({ broker, spiffe, identity: jwt }),
  x509: () => ({ broker, spiffe, brokerSpiffeId }),
  mtls: () => ({ ...FACES.x509(), binding: 'mtls' }),
}
const clients = new Map<Face, Promise<Client>>()

process.on('message', async (instruction: Instruction) => {
  const { id } = instruction
  const answer =
    instruction.face === undefined ? show() : call(instruction.face, instruction.arguments)
  const report: Report = await answer.then(
    (text) => ({ id, text }),
    (error: Error & { code?: string }) => ({ id, error: said(error), code: error.code }),
  )
  process.send?.(report)
})
process.once('disconnect', () => process.exit(0))

async function show(): Promise<string> {
  const { svids, federated } = await api.x509()
  const base64 = (der: Uint8Array | undefined) => Buffer.from(der ?? []).toString('base64')
  const trusted = [...(svids[0]?.authorities ?? []), ...[...federated.values()].flat()]
  const shown: Shown = {
    certificate: base64(svids[0]?.chain[0]),
    trusted: trusted.map(base64),
  }
  return JSON.stringify(shown)
}

async function call(face: Face, args: Record<string, unknown>): Promise<string> {
  const client = await connected(face)
  const result = await client.callTool({ name: 'greet', arguments: args })
  const [first] = result.content as { text?: string }[]
  return first?.text ?? JSON.stringify(result)
}

function connected(face: Face): Promise<Client> {
  const known = clients.get(face)
  if (known !== undefined) return known
  const fresh = open(face)
  clients.set(face, fresh)
  // The next call tries again.
  fresh.catch(() => clients.delete(face))
  return fresh
}

async function open(face: Face): Promise<Client> {
  const client = new Client({ name: 'agent', version: '1.0.0' })
  const { fetch } = createAgent(FACES[face]())
  await client.connect(new StreamableHTTPClientTransport(new URL(resource), { fetch }))
  return client
}

/** The message, and those of everything that caused it. */
function said(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${said(error.cause)}` : error.message
}
