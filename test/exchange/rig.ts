// A broker without HTTP, everything in it real: provers, keys, policies, ledger and the revocation feed.
import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, randomUUID, X509Certificate } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AuditRecord } from '../../src/audit/record.ts'
import { catalogueOf } from '../../src/catalogue/catalogue.ts'
import type { Broker, ExchangeRequest, Granted } from '../../src/exchange/broker.ts'
import { exchange } from '../../src/exchange/exchange.ts'
import { openBundles } from '../../src/identity/bundles/bundles.ts'
import { createDevelopmentDomain } from '../../src/identity/development.ts'
import { openOidcIssuer } from '../../src/identity/issuers/oidc.ts'
import { openUserIssuer } from '../../src/identity/issuers/user-token.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { createProver } from '../../src/identity/prover.ts'
import { createSenderKeys } from '../../src/identity/sender-keys.ts'
import { createX509SvidProver } from '../../src/identity/x509/x509-svid.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { newKeys, openKeys } from '../../src/mint/keys.ts'
import { openPolicies } from '../../src/policy/engine.ts'
import { type Reason, Refusal } from '../../src/refusal.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import type { Target } from '../../src/revocation/target.ts'
import { certificateThumbprint, type PresentedCertificate } from '../../src/token/certificate.ts'
import type { TokenClaims } from '../../src/token/claims.ts'
import { DELEGATION_TOKEN_TYPE, type DelegationClaims } from '../../src/token/delegation.ts'
import { parseJws, type SigningKey, signJws } from '../../src/token/jws.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'
import { call, pinOf } from '../catalogue/pins.ts'

export const ISSUER = 'https://broker.test'
export const TOKEN_URL = `${ISSUER}/token`
export const MTLS_URL = 'https://mtls.broker.test/token'
export const BANK = 'https://bank.test/mcp'
export const NOTES = 'https://notes.test/mcp'
export const IDP = 'https://idp.test'
export const CI = 'https://ci.test'
export const JWT = 'urn:ietf:params:oauth:token-type:jwt'

export const seconds = (): number => Math.floor(Date.now() / 1000)
/** Agents of the trust domain by the last part of their ids. */
export const id = (name: string): string => `spiffe://corp.test/agents/${name}`

const TOOL = {
  inputSchema: { type: 'object', properties: { amount: { type: 'integer' } } },
} as const
const POLICIES = `
@id("agents") permit (principal in Path::"spiffe://corp.test/agents", action, resource)
unless { principal == Workload::"${id('outsider')}" };
@id("ci") permit (principal in Issuer::"ci", action in Action::"mcp:sessions", resource);
@id("never") forbid (principal, action == bank::Action::"close", resource);
@id("certified") @binding("mtls") permit (principal in Path::"spiffe://corp.test/agents", action == bank::Action::"certified", resource);
@id("proved") @binding("dpop") permit (principal in Path::"spiffe://corp.test/agents", action == bank::Action::"proved", resource);
@id("no-outsiders") forbid (principal, action in Action::"mcp:delegations", resource)
when { context.delegate == "${id('outsider')}" };
@id("short") @lifetime("40") permit (principal in Path::"spiffe://corp.test/agents", action == notes::Action::"mcp:delegation", resource);
@id("ask") @approval("required") permit (principal in Path::"spiffe://corp.test/agents", action in Action::"mcp:delegations", resource)
when { context.names.contains("ask") };
`

export interface Party {
  readonly id: string
  readonly key: SenderKey
  svid(lifetimeSeconds?: number): Promise<string>
}

export interface Rig {
  readonly broker: Broker
  readonly records: AuditRecord[]
  readonly keys: Awaited<ReturnType<typeof openKeys>>
  readonly revocations: Revocations
  party(name: string): Party
  /** A token of the people's issuer; \`typ\` makes it another kind. */
  user(claims?: JsonObject, typ?: string): string
  /** A token of the CI system's issuer. */
  runner(claims?: JsonObject): string
  certificate(name: string, lifetimeSeconds?: number): Promise<PresentedCertificate>
  /** A registered client that is the workload of this name. */
  assertion(name: string): string
  revoke(target: Target): Promise<void>
  close(): Promise<void>
}

export async function startRig(): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-exchange-'))
  const at = (name: string) => join(directory, name)
  const domain = await createDevelopmentDomain({
    directory: at('domain'),
    trustDomain: 'corp.test',
  })
  const bundles = await openBundles([{ trustDomain: 'corp.test', file: domain.bundleFile }])
  const [people, ci, client] = [signingKey('people'), signingKey('ci'), signingKey('client')]
  await writeFile(at('people.json'), JSON.stringify({ keys: [people.publicJwk] }))
  await writeFile(at('ci.json'), JSON.stringify({ keys: [ci.publicJwk] }))
  const users = await openUserIssuer({
    alias: 'corp',
    issuer: IDP,
    keys: { jwksFile: at('people.json') },
    audiences: [ISSUER],
    broker: ISSUER,
    attributes: { groups: '/groups' },
  })
  const runners = await openOidcIssuer({
    alias: 'ci',
    issuer: CI,
    keys: { jwksFile: at('ci.json') },
    audience: ISSUER,
    attributes: { repository: '/repository' },
  })
  await newKeys(at('keys'), 'ES256', seconds())
  const keys = await openKeys(at('keys'), { now: seconds() })
  let ageSeconds = 60
  const ledger = memoryLedger({ role: 'broker', clock: () => Date.now() / 1000 - ageSeconds })
  ageSeconds = 0
  await ledger.open()
  const transport = ledger.feed!
  const source = {
    find: (kid: string | undefined, alg: string) => keys.verification(seconds()).find(kid, alg),
  }
  const issuer = ISSUER
  const publisher = new RevocationPublisher({
    issuer,
    key: () => keys.current(seconds()),
    keys: source,
    transport,
    beatEveryMs: 50,
  })
  const revocations = new Revocations({ issuer, keys: source, transport, staleAfterMs: 10_000 })
  await Promise.all([publisher.start(), revocations.start()])
  const catalogue = catalogueOf([
    pinOf(
      { tool: ['transfer', 'list', 'close', 'certified', 'proved', 'ask'].map(named) },
      'bank',
      BANK,
    ),
    pinOf({ tool: ['add', 'list'].map(named) }, 'notes', NOTES),
  ])
  await mkdir(at('policies'))
  await writeFile(at('policies/all.cedar'), POLICIES)
  const policies = await openPolicies({ directory: at('policies'), catalogue, pollMs: 0 })
  const records: AuditRecord[] = []
  const broker: Broker = {
    issuer: ISSUER,
    tokenEndpoint: TOKEN_URL,
    nonces: undefined,
    prover: createProver({
      issuer: ISSUER,
      jwtSvid: createJwtSvidProver({ bundles, audience: ISSUER }),
      x509Svid: createX509SvidProver({ bundles }),
      issuers: [runners],
      users: [users],
      clients: ['a', 'b'].map((name) => ({
        clientId: name,
        workload: id(name),
        jwks: { keys: [client.publicJwk as never] },
      })),
    }),
    senderKeys: createSenderKeys({ ledger, onSecondKey: 'record' }),
    ledger,
    revocations,
    catalogue,
    policies,
    audit: { record: async (record) => void records.push(record) },
    signingKey: (now) => keys.current(now),
    lifetimes: { actionSeconds: 60, sessionSeconds: 120 },
    delegation: { keys: (now) => keys.verification(now), lifetimeSeconds: 300, maxDepth: 3 },
    issuerUrls: new Map([['ci', CI]]),
    recordArguments: false,
  }
  const parties = new Map<string, Party>()
  const sign = (key: SigningKey, typ: string | undefined, claims: JsonObject) =>
    signJws(typ === undefined ? {} : { typ }, claims, key)

  return {
    broker,
    records,
    keys,
    revocations,
    party(name) {
      const known = parties.get(name)
      if (known !== undefined) return known
      const party: Party = {
        id: id(name),
        key: generateSenderKey(),
        svid: (lifetimeSeconds = 300) =>
          domain.issueJwtSvid({
            path: `/agents/${name}`,
            audience: ISSUER,
            lifetimeSeconds,
            now: Date.now() / 1000,
          }),
      }
      parties.set(name, party)
      return party
    },
    user: (claims = {}, typ) =>
      sign(people, typ, {
        iss: IDP,
        sub: 'alice',
        aud: ISSUER,
        iat: seconds(),
        exp: seconds() + 600,
        ...claims,
      }),
    runner: (claims = {}) =>
      sign(ci, undefined, {
        iss: CI,
        sub: 'repo:acme/app',
        aud: ISSUER,
        repository: 'acme/app',
        iat: seconds(),
        exp: seconds() + 600,
        ...claims,
      }),
    async certificate(name, lifetimeSeconds = 600) {
      const svid = await domain.issueX509Svid({ path: `/agents/${name}`, lifetimeSeconds })
      return { chain: [new X509Certificate(svid.certificatePem).raw], resumed: false }
    },
    assertion: (name) =>
      sign(client, undefined, {
        iss: name,
        sub: name,
        aud: ISSUER,
        iat: seconds(),
        exp: seconds() + 120,
        jti: randomUUID(),
      }),
    async revoke(target) {
      await publisher.revoke({ target, reason: 'test', by: 'test' })
      const holds = () => revocations.list().some((each) => each.target.value === target.value)
      while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
    },
    async close() {
      await revocations.close()
      await publisher.close()
      await policies.close()
      await Promise.all([users.close(), runners.close(), bundles.close(), ledger.close()])
      keys.close()
      await rm(directory, { recursive: true })
    },
  }
}

function named(name: string) {
  return { name, ...TOOL }
}

function signingKey(kid: string): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const publicJwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' }
  return { kid, algorithm: 'ES256', key, publicJwk: publicJwk as never }
}

/** A request of this agent for itself; `change` replaces parts of it. */
export async function asking(
  party: Party,
  change: Partial<ExchangeRequest> = {},
): Promise<ExchangeRequest> {
  const endpoint = change.endpoint ?? TOKEN_URL
  return {
    door: 'token-exchange',
    endpoint,
    subject: { token: await party.svid(), tokenType: JWT },
    actor: undefined,
    client: undefined,
    certificate: undefined,
    delegateTo: undefined,
    resource: BANK,
    details: detailsOf('transfer'),
    proofHeaders: [proof(party, endpoint)],
    method: 'POST',
    address: '192.0.2.1',
    now: Date.now() / 1000,
    ...change,
  }
}

export function proof(party: Party, url = TOKEN_URL): string {
  return makeProof(party.key, { method: 'POST', url, now: Date.now() / 1000 })
}

export function detailsOf(name: string, args: JsonObject = {}, more: JsonObject = {}): Json {
  const { server, method, identifier } = call(name, args, { server: BANK })
  return [
    {
      type: 'mcp_action',
      locations: [server],
      actions: [method],
      identifier,
      arguments: args,
      ...more,
    },
  ]
}

export function ceiling(...elements: JsonObject[]): Json {
  return (elements.length === 0 ? [{}] : elements).map((element) => ({
    type: 'mcp_ceiling',
    locations: [BANK],
    actions: ['tools/call'],
    identifiers: ['transfer'],
    ...element,
  }))
}

/** What `party` asks for to let `next` go on, under `parent` when it acts under a delegation itself. */
export async function handingOn(
  party: Party,
  next: Party,
  options: { details?: Json; parent?: string; change?: Partial<ExchangeRequest> } = {},
): Promise<ExchangeRequest> {
  return asking(party, {
    ...(options.parent === undefined ? {} : await under(party, options.parent)),
    resource: undefined,
    details: options.details ?? ceiling(),
    delegateTo: { workload: next.id, jkt: next.key.jkt },
    ...options.change,
  })
}

/** The parts of a request of an agent that acts under a delegation. */
export async function under(party: Party, delegation: string): Promise<Partial<ExchangeRequest>> {
  return {
    subject: { token: delegation, tokenType: DELEGATION_TOKEN_TYPE },
    actor: { token: await party.svid(), tokenType: JWT },
  }
}

export function claimsOf({ token }: Granted): TokenClaims {
  return parseJws(token).payload as unknown as TokenClaims
}

export function delegationOf(token: string): DelegationClaims {
  return parseJws(token).payload as unknown as DelegationClaims
}

export function x5t({ chain }: PresentedCertificate): string {
  return certificateThumbprint(chain[0] as Uint8Array)
}

/** Refused for exactly this reason, which is what the audit has as well. */
export async function refused(
  rig: Rig,
  request: ExchangeRequest,
  expected: Reason,
  broker: Broker = rig.broker,
): Promise<void> {
  const before = rig.records.length
  await assert.rejects(exchange(request, broker), (error: unknown) => {
    if (!(error instanceof Refusal)) throw error
    assert.deepEqual(error.reason, expected)
    return true
  })
  const { code, ...evidence } = expected
  const record = rig.records.at(-1)
  assert.ok(rig.records.length > before)
  assert.deepEqual([record?.outcome, record?.reason], ['refused', code])
  assert.deepEqual(record?.evidence, evidence)
}
