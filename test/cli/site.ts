// Everything a broker needs, in one folder: keys, a trust domain, a catalogue, policies, a configuration.
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { makePin } from '../../src/catalogue/pin.ts'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'
import { newKeys } from '../../src/mint/keys.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'

export const RESOURCE = 'http://127.0.0.1:4474/mcp'
export const AGENT = 'spiffe://corp.test/agents/bot'

const POLICIES = `
@id("bots-transfer-little")
@lifetime("30")
permit (principal in Path::"spiffe://corp.test/agents", action == Bank::Action::"transfer_funds", resource)
when { context.input.amount <= 100 };

@id("never-to-mallory")
forbid (principal, action == Bank::Action::"transfer_funds", resource)
when { context.input.to == "mallory" };

@id("sessions")
permit (principal, action in Action::"mcp:sessions", resource);
`

export interface Site {
  readonly cwd: string
  readonly issuer: string
  readonly config: string
  readonly domain: DevelopmentDomain
}

export async function makeSite(
  cwd: string,
  changes: Readonly<Record<string, unknown>> = {},
): Promise<Site> {
  const issuer = `http://127.0.0.1:${await freePort()}`
  const domain = await createDevelopmentDomain({
    directory: join(cwd, 'domain'),
    trustDomain: 'corp.test',
  })
  await newKeys(join(cwd, 'keys'), 'ES256', Date.now() / 1000)
  const inputSchema = {
    type: 'object',
    properties: { to: { type: 'string' }, amount: { type: 'integer' } },
    required: ['to', 'amount'],
  }
  const pins = makePin(
    { tool: [{ name: 'transfer_funds', description: 'moves money', inputSchema }] },
    { name: 'Bank', resource: RESOURCE, pinnedAt: new Date().toISOString() },
  )
  await writeFile(join(cwd, 'bank.json'), JSON.stringify(pins))
  await mkdir(join(cwd, 'policies'))
  await writeFile(join(cwd, 'policies', 'bank.cedar'), POLICIES)
  const settings = {
    issuer,
    keys: { directory: 'keys' },
    store: { sqlite: { file: 'writ.db' } },
    trust: [{ spiffe: 'corp.test', bundle: { file: 'domain/bundle.json' } }],
    servers: [{ resource: RESOURCE, catalogue: 'bank.json' }],
    policies: 'policies',
    audit: { directory: 'audit' },
    ...changes,
    listen: { public: new URL(issuer).host, admin: '127.0.0.1:0', ...(changes.listen as object) },
  }
  const config = join(cwd, 'writ.yaml')
  await writeFile(config, JSON.stringify(settings))
  return { cwd, issuer, config, domain }
}

/** Asks for one action token as an agent does. */
export async function askForToken(
  { issuer, domain }: Site,
  options: { arguments?: object; key?: SenderKey; at?: string } = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const now = Date.now() / 1000
  const url = `${issuer}/token`
  const svid = { path: '/agents/bot', audience: issuer, lifetimeSeconds: 300, now }
  const details = {
    type: 'mcp_action',
    locations: [RESOURCE],
    actions: ['tools/call'],
    identifier: 'transfer_funds',
    arguments: options.arguments ?? { to: 'alice', amount: 5 },
  }
  const key = options.key ?? generateSenderKey()
  const response = await fetch(`${options.at ?? issuer}/token`, {
    method: 'POST',
    // A connection that was idle while a command ran may be closed just when it is used again.
    headers: { DPoP: makeProof(key, { method: 'POST', url, now }), connection: 'close' },
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      resource: RESOURCE,
      subject_token: await domain.issueJwtSvid(svid),
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      authorization_details: JSON.stringify([details]),
    }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
