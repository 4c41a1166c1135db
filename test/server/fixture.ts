// A broker with everything real but its policies, on free loopback ports, and clients for it.
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { AuditRecord } from '../../src/audit/record.ts'
import { loadCatalogue } from '../../src/catalogue/catalogue.ts'
import { pinHash } from '../../src/catalogue/pin-file.ts'
import type { Broker } from '../../src/exchange/broker.ts'
import { type Bundles, openBundles } from '../../src/identity/bundles/bundles.ts'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { createProver, type ProverOptions } from '../../src/identity/prover.ts'
import { createSenderKeys } from '../../src/identity/sender-keys.ts'
import { createX509SvidProver } from '../../src/identity/x509/x509-svid.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { newKeys, openKeys } from '../../src/mint/keys.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import type { BrokerParts, Client } from '../../src/server/parts.ts'
import { createServer as createBrokerServer } from '../../src/server/server.ts'
import { signJws } from '../../src/token/jws.ts'
import { Nonces } from '../../src/token/nonce.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'

export const RESOURCE = 'https://mcp.example/mcp'
export const AGENT = 'spiffe://corp.test/agents/report-bot'
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
export const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'

export const seconds = () => Date.now() / 1000

export interface TestClient {
  readonly client: Client
  readonly privateKey: KeyObject
  readonly kid: string
}

export function testClient(clientId: string, extra: Partial<Client>): TestClient {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const kid = `${clientId}-1`
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256' }
  return {
    client: { clientId, jwks: { keys: [jwk] }, scopes: [], resources: [], ...extra },
    privateKey,
    kid,
  }
}

export interface Fixture {
  readonly issuer: string
  readonly adminUrl: string
  readonly records: AuditRecord[]
  readonly broker: Broker
  readonly directory: string
  readonly parts: BrokerParts
  /** Of `corp.test`, which the broker trusts. */
  readonly domain: DevelopmentDomain
  readonly bundles: Bundles
  svid(overrides?: { path?: string; audience?: string }): Promise<string>
  close(): Promise<void>
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

export interface FixtureOptions {
  readonly nonces?: boolean
  readonly clients?: readonly Client[]
  readonly broker?: Partial<Broker>
  readonly parts?: Partial<BrokerParts>
  /** Further trust domains, each with its own development authority. */
  readonly domains?: readonly DevelopmentDomain[]
  readonly users?: (issuer: string) => Promise<NonNullable<ProverOptions['users']>>
  /** Parts that can only be made once the broker's own trust domain is there. */
  readonly withDomain?: (domain: DevelopmentDomain) => Promise<Partial<BrokerParts>>
}

export async function startFixture(options: FixtureOptions = {}): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-server-'))
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const domain = await createDevelopmentDomain({
    directory: join(directory, 'domain'),
    trustDomain: 'corp.test',
  })
  const bundles = await openBundles(
    [domain, ...(options.domains ?? [])].map(({ trustDomain, bundleFile }) => ({
      trustDomain,
      file: bundleFile,
    })),
    { pollMs: 20 },
  )
  await newKeys(join(directory, 'keys'), 'ES256', seconds())
  const keys = await openKeys(join(directory, 'keys'), { now: seconds() })
  // Made a minute ago, as far as it knows: a new one refuses proofs that a clock ahead of ours might
  // have made before it began.
  let ledgerAgeSeconds = 60
  const ledger = memoryLedger({
    role: 'broker',
    clock: () => Date.now() / 1000 - ledgerAgeSeconds,
  })
  ledgerAgeSeconds = 0
  await ledger.open()
  const feed = ledger.feed!
  const source = {
    find: (kid: string | undefined, alg: string) => keys.verification(seconds()).find(kid, alg),
  }
  const publisher = new RevocationPublisher({
    issuer,
    key: () => keys.current(seconds()),
    keys: source,
    transport: feed,
    beatEveryMs: 50,
  })
  const revocations = new Revocations({
    issuer,
    keys: source,
    transport: feed,
    staleAfterMs: 5_000,
  })
  await Promise.all([publisher.start(), revocations.start()])
  const records: AuditRecord[] = []
  const broker: Broker = {
    issuer,
    tokenEndpoint: `${issuer}/token`,
    nonces: options.nonces ? new Nonces(Buffer.alloc(32, 7)) : undefined,
    prover: createProver({
      issuer,
      jwtSvid: createJwtSvidProver({ bundles, audience: issuer }),
      x509Svid: createX509SvidProver({ bundles }),
      clients: (options.clients ?? []).flatMap(({ workload, ...client }) =>
        workload === undefined ? [] : [{ ...client, workload }],
      ),
      users: (await options.users?.(issuer)) ?? [],
    }),
    senderKeys: createSenderKeys({ ledger, onSecondKey: 'record' }),
    ledger,
    revocations,
    catalogue: await testCatalogue(directory),
    policies: { decide: testDecision },
    audit: { record: async (record) => void records.push(record) },
    signingKey: (now) => keys.current(now),
    lifetimes: { actionSeconds: 60, sessionSeconds: 120 },
    delegation: { keys: (now) => keys.verification(now), lifetimeSeconds: 300, maxDepth: 5 },
    recordArguments: false,
    ...options.broker,
  }
  const parts: BrokerParts = {
    broker,
    listen: { public: { host: '127.0.0.1', port }, admin: { host: '127.0.0.1', port: 0 } },
    keys,
    publisher,
    revocations,
    feed,
    clients: options.clients ?? [],
    log: pino({ enabled: false }),
    ...options.parts,
    ...(await options.withDomain?.(domain)),
  }
  const server = await createBrokerServer(parts)
  await server.listen()
  return {
    issuer,
    adminUrl: server.adminUrl,
    records,
    broker,
    directory,
    parts,
    domain,
    bundles,
    svid: (overrides) =>
      domain.issueJwtSvid({
        path: '/agents/report-bot',
        audience: issuer,
        lifetimeSeconds: 300,
        now: seconds(),
        ...overrides,
      }),
    async close() {
      await server.close()
      await revocations.close()
      await publisher.close()
      keys.close()
      await bundles.close()
      await ledger.close()
      await rm(directory, { recursive: true })
    },
  }
}

async function testCatalogue(directory: string) {
  const tool = (name: string) => {
    const definition = {
      name,
      inputSchema: {
        type: 'object',
        properties: { amount: { type: 'integer' }, note: { type: 'string' } },
      },
    } as const
    return { ...definition, hash: pinHash('tool', definition) }
  }
  const file = join(directory, 'catalogue.json')
  await writeFile(
    file,
    JSON.stringify({
      version: 1,
      name: 'Bank',
      resource: RESOURCE,
      pinnedAt: '2026-11-01T00:00:00.000Z',
      tools: ['transfer_funds', 'close_account', 'ask_first'].map(tool),
      prompts: [],
      resources: [],
      resourceTemplates: [],
    }),
  )
  return loadCatalogue([{ resource: RESOURCE, file }])
}

/** `close_account` is denied, `ask_first` needs a person, session tokens go to anyone but `nobody`. */
const testDecision: Broker['policies']['decide'] = ({ action, workload }) => {
  const name = action?.identifier
  const denied = name === 'close_account' || workload.id.endsWith('/nobody')
  return {
    effect: denied ? 'deny' : name === 'ask_first' ? 'ask' : 'permit',
    policies: ['test'],
    version: '1',
    lifetimeSeconds: undefined,
    binding: undefined,
    maxUses: 1,
  }
}

export function transfer(args: object = { amount: 5 }, name = 'transfer_funds'): string {
  return JSON.stringify([
    {
      type: 'mcp_action',
      locations: [RESOURCE],
      actions: ['tools/call'],
      identifier: name,
      arguments: args,
    },
  ])
}

export async function exchangeForm(
  fixture: Fixture,
  extra: Record<string, string> = {},
): Promise<URLSearchParams> {
  return new URLSearchParams({
    grant_type: TOKEN_EXCHANGE,
    resource: RESOURCE,
    subject_token: await fixture.svid(),
    subject_token_type: JWT_TYPE,
    authorization_details: transfer(),
    ...extra,
  })
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Record<string, unknown>
  readonly text: string
}

/** One HTTP request with exactly these headers; `fetch` would set or forbid some of them. */
export function send(
  url: string,
  options: {
    method?: string
    headers?: Record<string, string | string[]>
    body?: string | Buffer | URLSearchParams
  } = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const body = options.body instanceof URLSearchParams ? options.body.toString() : options.body
  const type =
    options.body instanceof URLSearchParams
      ? { 'content-type': 'application/x-www-form-urlencoded' }
      : {}
  const request = httpRequest(
    url,
    {
      method: options.method ?? (body === undefined ? 'GET' : 'POST'),
      headers: { ...type, ...options.headers },
      agent: false,
    },
    (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          text,
          body: text.startsWith('{') ? JSON.parse(text) : {},
        })
      })
    },
  )
  request.on('error', reject)
  request.end(body)
  return promise
}

export async function postToken(
  fixture: Fixture,
  body: URLSearchParams | string,
  options: {
    key?: SenderKey
    proof?: string | string[]
    nonce?: string
    headers?: Record<string, string | string[]>
  } = {},
): Promise<Answer> {
  const proof =
    options.proof ??
    makeProof(options.key ?? generateSenderKey(), {
      method: 'POST',
      url: `${fixture.issuer}/token`,
      now: seconds(),
      ...(options.nonce === undefined ? {} : { nonce: options.nonce }),
    })
  return send(`${fixture.issuer}/token`, {
    body: body as string,
    ...(typeof body === 'string' ? {} : { body }),
    headers: {
      ...(typeof body === 'string' ? { 'content-type': 'application/x-www-form-urlencoded' } : {}),
      ...(proof.length === 0 ? {} : { dpop: proof }),
      ...options.headers,
    },
  })
}

/** The token that an agent gets for a call. */
export async function tokenFrom(
  fixture: Fixture,
  options: Parameters<typeof postToken>[2] = {},
): Promise<string> {
  const { status, body } = await postToken(fixture, await exchangeForm(fixture), options)
  assert.equal(status, 200)
  return String(body.access_token)
}

/** A client assertion; overrides replace claims, `undefined` removes them. */
export function assertion(
  issuer: string,
  { client, privateKey, kid }: TestClient,
  overrides: Record<string, unknown> = {},
): Record<string, string> {
  const now = Math.floor(seconds())
  const claims = {
    iss: client.clientId,
    sub: client.clientId,
    aud: issuer,
    jti: randomUUID(),
    iat: now,
    exp: now + 60,
    ...overrides,
  }
  const payload = JSON.parse(JSON.stringify(claims))
  return {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: signJws({ typ: 'JWT' }, payload, {
      kid,
      algorithm: 'ES256',
      key: privateKey,
      publicJwk: {},
    }),
  }
}

export function claimsOf(token: unknown): Record<string, unknown> {
  return JSON.parse(Buffer.from(String(token).split('.')[1]!, 'base64url').toString())
}

export function fingerprint(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
