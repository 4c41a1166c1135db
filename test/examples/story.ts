// One agent, one action, and everything that is refused afterwards: what `npm start` shows.
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createAgent } from '../../src/agent/index.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'
import { type Demo, runWrit, startDemo } from './demo.ts'

const AGENT = '/agents/report-bot'
const directory = fileURLToPath(new URL('../../var/demo', import.meta.url))
let steps = 0
const once = process.argv.includes('--once')

/** The last request that carried a token to the MCP server: what a thief on the wire would have. */
interface Captured {
  url: string
  headers: Headers
  body: string
  token: string
}

say('Writ: one token, one caller, one MCP action, once.\n')
say(
  'Starting the broker and an MCP server. A store that is new waits some seconds before it is trusted …',
)
const demo = await startDemo(directory)
const key = generateSenderKey()
const taken = recorder(demo.resource)
const agent = createAgent({
  broker: demo.issuer,
  key,
  fetch: taken.fetch,
  task: 'weekly-report',
  identity: () => svid(demo),
})

try {
  step('Who', 'a development trust domain, demo.test, vouches for one workload')
  tell('the agent is', `spiffe://demo.test${AGENT}`)
  tell('its identity is', 'a JWT-SVID, for the broker alone, good for five minutes')
  tell('its key', `was made in memory; thumbprint ${key.jkt}`)
  tell('the broker is', demo.issuer)
  tell('the MCP server is', demo.resource)

  step('What', 'the agent calls one tool, through the official MCP SDK')
  const client = new Client({ name: 'report-bot', version: '1.0.0' })
  await client.connect(
    new StreamableHTTPClientTransport(new URL(demo.resource), { fetch: agent.fetch }),
  )
  const call = { title: 'Weekly report', text: 'Revenue is up.' }
  const result = await client.callTool({ name: 'add_note', arguments: call })
  const first = taken.last()
  tell('it asked for', `add_note ${JSON.stringify(call)}`)
  tell('it was given', 'this token (decoded; the token itself is never printed)')
  say(indent(JSON.stringify(decodeClaims(first.token), null, 2)))
  tell('the tool said', textOf(result))

  step('Replay', 'the same token again, with a fresh proof by the same key')
  await refused(await send(first, { proofBy: key }))

  step('Another argument', 'a new token for one note, used to write a different one')
  taken.holdNext()
  client.callTool({ name: 'add_note', arguments: call }).catch(() => {})
  const unused = await taken.held()
  const altered = unused.body.replace('Revenue is up.', 'Revenue is down.')
  await refused(await send({ ...unused, body: altered }, { proofBy: key }))

  step('A stolen token', 'the same unused token, in the hands of someone without the key')
  await refused(await send(unused, { proofBy: generateSenderKey() }))

  step('A tool that destroys', 'the policy asks for a person; nobody has said yes')
  await client
    .callTool({ name: 'delete_note', arguments: { id: '1' } })
    .then(() => fail('delete_note ran without an approval'))
    .catch((error: Error) => tell('refused', error.message))

  step('Stopped', 'an admin revokes the agent')
  await runWrit([
    ...['revoke', `agent:spiffe://demo.test${AGENT}`, '--config', demo.configFile],
    ...['--reason', 'shown in the demonstration', '--for', '1s'],
  ])
  await client
    .callTool({ name: 'list_notes', arguments: {} })
    .then(() => fail('a revoked agent was served'))
    .catch((error: Error) => tell('refused', error.message))
  await client.close().catch(() => {})

  say('\nready\n')
  if (once) {
    await demo.stop()
    process.exit(process.exitCode ?? 0)
  }
  tryNext(demo)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void demo.stop().then(() => process.exit(0)))
  }
} catch (error) {
  say(`\nwrit: error: ${(error as Error).message}`)
  await demo.stop()
  process.exit(1)
}

async function svid({ domain, issuer }: Demo): Promise<string> {
  const now = Date.now() / 1000
  return domain.issueJwtSvid({ path: AGENT, audience: issuer, lifetimeSeconds: 300, now })
}

/** Passes requests on, keeping the last one that carried a token for an action. */
function recorder(resource: string) {
  let last: Captured | undefined
  let holding = false
  let caught: (request: Captured) => void = () => {}
  const held = { promise: Promise.resolve<Captured | undefined>(undefined) }
  return {
    last: () => last ?? fail('no request was seen'),
    /** The next request is kept from the server, as a thief between the two would. */
    holdNext() {
      holding = true
      held.promise = new Promise((resolve) => {
        caught = resolve
      })
    },
    held: async () => (await held.promise) ?? fail('no request was held'),
    fetch: async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
      const url = input instanceof Request ? input.url : String(input)
      const headers = new Headers(init?.headers)
      const token = headers.get('authorization')?.replace(/^DPoP /, '')
      if (url === resource && token !== undefined && String(init?.body).includes('tools/call')) {
        last = { url, headers, body: String(init?.body), token }
        if (holding) {
          holding = false
          caught(last)
          throw new TypeError('held back on the way')
        }
      }
      return fetch(input, init)
    },
  }
}

async function send(request: Captured, { proofBy }: { proofBy: SenderKey }): Promise<Response> {
  const headers = new Headers(request.headers)
  const now = Date.now() / 1000
  const accessToken = request.token
  headers.set('dpop', makeProof(proofBy, { method: 'POST', url: request.url, now, accessToken }))
  return fetch(request.url, { method: 'POST', headers, body: request.body })
}

async function refused(response: Response): Promise<void> {
  const body = (await response.json()) as { error?: string; error_description?: string }
  if (response.ok) fail('the server ran what it should have refused')
  tell('refused', `${response.status} ${body.error}: ${body.error_description}`)
}

function decodeClaims(token: string): unknown {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

function textOf(result: { content?: unknown }): string {
  const [first] = (result.content ?? []) as { text?: string }[]
  return first?.text ?? JSON.stringify(result)
}

function tryNext({ configFile, auditDirectory, issuer, resource, firstLink }: Demo): void {
  say(`It stays up until you press Ctrl-C. The console shows what the agent did, and stops it. This link, good
once and for an hour, makes you its first admin, with a passkey of this machine:

  ${firstLink}

Or by commands:

  npm run writ -- sessions list --config ${configFile}
  npm run writ -- policy explain --config ${configFile} --help
  npm run writ -- revoke 'agent:spiffe://demo.test/agents/*' --config ${configFile} --reason 'trying it'
  curl -s ${issuer}/.well-known/oauth-authorization-server
  curl -si ${resource} -H 'content-type: application/json' -d '{}'
  cat ${auditDirectory}/*.jsonl
`)
}

function fail(what: string): never {
  throw new Error(what)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function step(title: string, what: string): void {
  steps += 1
  say(`\n${steps}. ${title}: ${what}`)
}

function tell(label: string, text: string): void {
  say(`   ${label}: ${text}`)
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '     ')
}
