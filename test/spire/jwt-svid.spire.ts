import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createAgent } from '../../src/agent/index.ts'
import { startNotesServer } from '../examples/notes-server.ts'
import { fetchJwtSvid } from './api.ts'
import { type Broker, startBroker } from './broker.ts'
import { buildSpire } from './build.ts'
import { freePort, ownProgram, type Spire, startSpire } from './spire.ts'

const AGENT = '/agents/report-bot'
const STRANGER = '/agents/stranger'

// ES256 is what SPIRE signs with as it comes; RS256 is its other kind of key. Domains that also serve
// OpenID Connect name an issuer.
const DOMAINS = [
  { keyType: 'ec-p256' },
  { keyType: 'rsa-2048', jwtIssuer: 'https://oidc.corp.test' },
] as const

for (const domain of DOMAINS) {
  test(`a workload of SPIRE (${Object.values(domain).join(', ')})`, async (t) => {
    let directory: string
    let spire: Spire
    let broker: Broker
    let server: Awaited<ReturnType<typeof startNotesServer>>
    const closing: (() => Promise<unknown>)[] = []
    const programs: Record<string, string> = {}

    before(async () => {
      directory = await mkdtemp(join(tmpdir(), 'writ-spire-'))
      closing.push(() => rm(directory, { recursive: true, force: true }))
      spire = await startSpire({ trustDomain: 'corp.test', directory, ...domain })
      closing.push(() => spire.stop())
      for (const path of [AGENT, STRANGER]) {
        programs[path] = await ownProgram(
          buildSpire().agent,
          join(directory, path.replaceAll('/', '-')),
        )
        await spire.register({ path, program: programs[path] })
      }
      await spire.startAgent()
      const bundleFile = join(directory, 'bundle.json')
      await writeFile(bundleFile, await spire.bundle())
      const [issuer, port] = [`http://127.0.0.1:${await freePort()}`, await freePort()]
      const resource = `http://127.0.0.1:${port}/mcp`
      const { NOTES_TOOLS } = await import('../examples/notes-definitions.ts')
      broker = await startBroker({
        directory: join(directory, 'broker'),
        issuer,
        program: process.execPath,
        trust: [{ spiffe: 'corp.test', bundle: { file: bundleFile } }],
        server: { resource, tools: NOTES_TOOLS },
        agents: [`spiffe://corp.test${AGENT}`],
      })
      closing.push(() => broker.stop())
      server = await startNotesServer({ issuer, port, directory: join(directory, 'notes') })
      closing.push(() => server.close())
    })

    after(async () => {
      for (const close of closing.reverse()) await close()
    })

    await t.test('runs a tool with its JWT-SVID', async () => {
      const client = await connect(AGENT)
      const result = await client.callTool({
        name: 'add_note',
        arguments: { title: 'Weekly report', text: 'Revenue is up.' },
      })
      assert.deepEqual(result.content, [{ type: 'text', text: 'added note 1' }])
      await client.close()
    })

    await t.test('is refused what no policy allows it', async () => {
      await assert.rejects(connect(STRANGER), /invalid_target/)
    })

    await t.test('is refused with an SVID for another audience', async () => {
      await assert.rejects(connect(AGENT, 'https://other.example'), /audience/)
    })

    async function connect(path: string, audience = broker.issuer): Promise<Client> {
      const agent = createAgent({
        broker: broker.issuer,
        identity: () => fetchJwtSvid(programs[path]!, spire.socket, audience),
      })
      const client = new Client({ name: 'report-bot', version: '1.0.0' })
      const transport = new StreamableHTTPClientTransport(new URL(server.url), {
        fetch: agent.fetch,
      })
      await client.connect(transport)
      return client
    }
  })
}
