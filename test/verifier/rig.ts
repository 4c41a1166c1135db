/** A broker of a few lines and a sender, for tests of what comes behind them. */
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { grantDetail } from '../../src/action/mcp-action.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { createAuthority, issueLeaf } from '../../src/identity/development-x509.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { mintToken, newJti } from '../../src/mint/mint.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { ACTION_SCOPE, SESSION_SCOPE, type TokenClaims } from '../../src/token/claims.ts'
import type { SigningKey } from '../../src/token/jws.ts'
import { localKeySet } from '../../src/token/key-set.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'
import { sessionId } from '../../src/token/session-id.ts'
import type { VerifierOptions } from '../../src/verifier/options.ts'
import type { GateRequest } from '../../src/verifier/request.ts'

export const ISSUER = 'https://broker.example'
export const RESOURCE = 'https://mcp.example/mcp'
export const AGENT = 'spiffe://corp.example/agents/report-bot'
export const MODERN = '2026-07-28'

export function signingKey(kid = 'k1'): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = publicKey.export({ format: 'jwk' }) as JsonObject
  return {
    kid,
    algorithm: 'ES256',
    key: privateKey,
    publicJwk: { ...jwk, kid, alg: 'ES256', use: 'sig' },
  }
}

export const brokerKey = signingKey()
export const brokerKeys = localKeySet({ keys: [brokerKey.publicJwk] }, ['ES256'])
export const sender: SenderKey = generateSenderKey()

/** A clock that tests can move. */
export const clock = {
  offsetSeconds: 0,
  now: () => Date.now() / 1000 + clock.offsetSeconds,
}

/** A memory ledger that was started in the past, so that it honours what is issued now. */
export function startedLedger(): Ledger & { readonly spent: string[] } {
  clock.offsetSeconds -= 60
  const ledger = memoryLedger({ clock: clock.now })
  clock.offsetSeconds += 60
  const spent: string[] = []
  return {
    ...ledger,
    spent,
    spend(id, expiresAt, issuedAt) {
      spent.push(id)
      return ledger.spend(id, expiresAt, issuedAt)
    },
    use(id, limit, proof, expiresAt, issuedAt) {
      spent.push(id)
      return ledger.use(id, limit, proof, expiresAt, issuedAt)
    },
  }
}

/** The broker's half of the revocation feed. */
export async function startFeed() {
  const transport = memoryFeed()
  const publisher = new RevocationPublisher({
    issuer: ISSUER,
    key: () => brokerKey,
    keys: brokerKeys,
    transport,
    beatEveryMs: 50,
    clock: clock.now,
  })
  // Heartbeats alone keep no process alive, and a test may wait for nothing else.
  const awake = setInterval(() => {}, 1000)
  const close = publisher.close.bind(publisher)
  publisher.close = async () => {
    clearInterval(awake)
    await close()
  }
  await publisher.start()
  return { transport, publisher }
}

/** Claims of a token for `call`; `overrides` spoil it. */
export function claimsFor(
  call: { method?: string; name?: string; args?: JsonObject; input?: JsonObject } | 'session',
  overrides: Partial<Record<keyof TokenClaims, unknown>> & {
    maxUses?: number
    definitionHash?: string
  } = {},
  holder: SenderKey = sender,
): TokenClaims {
  const { maxUses = 1, definitionHash, ...claims } = overrides
  const iat = Math.floor(clock.now())
  const details =
    call === 'session'
      ? undefined
      : [
          grantDetail(
            {
              server: RESOURCE,
              method: (call.method ?? 'tools/call') as 'tools/call',
              identifier: call.name ?? 'add_note',
              arguments: call.args ?? {},
              input: call.input,
              task: undefined,
            },
            { definitionHash, maxUses },
          ),
        ]
  const cnf = { jkt: holder.jkt }
  return {
    iss: ISSUER,
    aud: RESOURCE,
    sub: AGENT,
    client_id: AGENT,
    jti: newJti(),
    iat,
    exp: iat + 60,
    sid: sessionId(AGENT, AGENT, cnf),
    scope: call === 'session' ? SESSION_SCOPE : ACTION_SCOPE,
    ...(details === undefined ? {} : { authorization_details: details as never }),
    cnf,
    ...(claims as Partial<TokenClaims>),
  }
}

export const mint = (claims: TokenClaims, key: SigningKey = brokerKey): string =>
  mintToken(claims, key)

/** A `tools/call` of the older era. */
export function callMessage(
  args: JsonObject = {},
  name = 'add_note',
  more: JsonObject = {},
): JsonObject {
  return { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args, ...more } }
}

/** The same in the newer era, which also needs headers. */
export function modern(message: JsonObject): {
  message: JsonObject
  headers: Record<string, string>
} {
  const params = (message.params ?? {}) as JsonObject
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': MODERN,
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const name = (params.name ?? params.uri) as string | undefined
  return {
    message: { ...message, params: { ...params, _meta } },
    headers: {
      'mcp-protocol-version': MODERN,
      'mcp-method': message.method as string,
      ...(name === undefined ? {} : { 'mcp-name': name }),
    },
  }
}

export interface Sent {
  readonly token: string
  readonly message?: Json | string | undefined
  readonly method?: string
  readonly path?: string
  readonly key?: SenderKey
  readonly scheme?: string
  /** Replaces headers; an array is several of one name, `undefined` leaves it out. */
  readonly headers?: Record<string, string | readonly string[] | undefined>
  readonly nonce?: string
  readonly certificate?: Uint8Array
  readonly address?: string
  /** What the proof says instead of what is true. */
  readonly proof?: { method?: string; url?: string; now?: number; accessToken?: string }
}

/** The request a well-behaved client sends, with what `sent` spoils. */
export function request(sent: Sent): GateRequest {
  const method = sent.method ?? 'POST'
  const proof = makeProof(sent.key ?? sender, {
    method,
    url: RESOURCE,
    now: clock.now(),
    accessToken: sent.token,
    ...(sent.nonce === undefined ? {} : { nonce: sent.nonce }),
    ...sent.proof,
  })
  const headers: Record<string, string | readonly string[] | undefined> = {
    host: 'mcp.example',
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    authorization: `${sent.scheme ?? 'DPoP'} ${sent.token}`,
    dpop: proof,
    ...sent.headers,
  }
  const text =
    typeof sent.message === 'string' ? sent.message : JSON.stringify(sent.message ?? callMessage())
  return {
    method,
    path: sent.path ?? '/mcp',
    headers: (name) => [headers[name] ?? []].flat(),
    body: method === 'POST' ? Buffer.from(text) : undefined,
    address: sent.address ?? '192.0.2.7',
    ...(sent.certificate === undefined ? {} : { peerCertificate: sent.certificate }),
  }
}

export interface Certified {
  readonly certificate: Uint8Array
  readonly chainPem: string
  readonly privateKeyPem: string
  /** What a token that is bound to it says. */
  readonly cnf: { readonly 'x5t#S256': string }
}

let authority: ReturnType<typeof createAuthority> | undefined

/** A workload's certificate, good from half a minute ago and for as long as asked, from `now`. */
export async function certified(lifetimeSeconds = 300, now = clock.now()): Promise<Certified> {
  authority ??= createAuthority('corp.example')
  const { certificatePem, privateKey } = await authority
  const { chainPem, privateKeyPem } = await issueLeaf({
    caPem: certificatePem,
    caKey: privateKey,
    id: AGENT,
    publicKey: undefined,
    lifetimeSeconds,
    now,
  })
  const certificate = new X509Certificate(chainPem).raw
  const cnf = { 'x5t#S256': certificateThumbprint(certificate) }
  return { certificate, chainPem, privateKeyPem: privateKeyPem ?? '', cnf }
}

/** Options of a verifier behind this broker, and what it recorded. */
export async function options(overrides: Partial<VerifierOptions> = {}): Promise<{
  options: VerifierOptions
  records: AuditRecord[]
  ledger: ReturnType<typeof startedLedger>
  publisher: RevocationPublisher
}> {
  const records: AuditRecord[] = []
  const ledger = startedLedger()
  const { transport, publisher } = await startFeed()
  return {
    records,
    ledger,
    publisher,
    options: {
      issuer: ISSUER,
      resource: RESOURCE,
      ledger,
      definitions: 'unchecked',
      audit: (record) => void records.push(record),
      keys: brokerKeys,
      feed: transport,
      clock: clock.now,
      ...overrides,
    },
  }
}
