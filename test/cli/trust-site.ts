// A site that trusts somebody of every kind: issuers behind real https servers on loopback, a trust
// domain, a registered client; and the tokens they give out.
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { JsonObject } from '../../src/lib/json.ts'
import { type SigningKey, signJws } from '../../src/token/jws.ts'
import { CA_PEM, LOOPBACK, startSite } from '../identity/https-site.ts'
import { makeSite, type Site } from './site.ts'

export const seconds = () => Math.floor(Date.now() / 1000)
export const SERVICE_ACCOUNT = 'system:serviceaccount:shop:agent'
const REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews'

/** A key whose public half is in the key set of whoever it is for. */
export function makeSigningKey(algorithm: 'ES256' | 'RS256', kid: string): SigningKey {
  const { privateKey, publicKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = publicKey.export({ format: 'jwk' }) as Record<string, string>
  return { kid, algorithm, key: privateKey, publicJwk: { ...jwk, kid, alg: algorithm } }
}

const rsa = makeSigningKey('RS256', 'r1')
const ec = makeSigningKey('ES256', 'e1')
const client = makeSigningKey('ES256', 'c1')

export interface TrustSite extends Site {
  /** `https://127.0.0.1:…`; each issuer is a path of it. */
  readonly origin: string
  /** What the cluster says about the token's pod. */
  pods: { alive: boolean }
  /** Requests that the issuers have seen. */
  readonly requests: readonly string[]
  /** Signs claims as that issuer; members set to undefined are left out. */
  token(issuer: keyof typeof TOKENS, changes?: Record<string, unknown>): string
  /** Of the registered client. */
  assertion(changes?: Record<string, unknown>): string
}

const TOKENS = {
  kubernetes: { key: rsa, typ: undefined, age: 3600 },
  github: { key: rsa, typ: 'JWT', age: 300 },
  oidc: { key: ec, typ: 'JWT', age: 300 },
  id_token: { key: ec, typ: 'JWT', age: 300 },
  access_token: { key: ec, typ: 'at+jwt', age: 300 },
  id_jag: { key: ec, typ: 'oauth-id-jag+jwt', age: 300 },
} as const

export async function makeTrustSite(
  t: { after(hook: () => Promise<void>): void },
  cwd: string,
  changes: Record<string, unknown> = {},
): Promise<TrustSite> {
  const pods = { alive: true }
  const issuers = await startSite(t, (request, response) => {
    answer(issuers.origin, pods, request, response)
  })
  const { origin } = issuers
  await mkdir(cwd, { recursive: true })
  await writeFile(join(cwd, 'issuers-ca.pem'), CA_PEM)
  await writeFile(join(cwd, 'reviewer.token'), 'the-brokers-own-token')
  await writeFile(join(cwd, 'build.json'), JSON.stringify({ keys: [ec.publicJwk] }))
  const fetched = { ca_file: 'issuers-ca.pem', allow_addresses: LOOPBACK }
  const site = await makeSite(cwd, {
    trust: [
      { spiffe: 'corp.test', bundle: { file: 'domain/bundle.json' } },
      {
        kubernetes: 'prod',
        issuer: `${origin}/kubernetes`,
        keys: { discovery: true },
        ...fetched,
        // Without a CA file of its own: the entry's counts.
        token_review: { url: origin, token_file: 'reviewer.token' },
      },
      {
        github: 'ci',
        issuer: `${origin}/github`,
        keys: { jwks_url: `${origin}/github/jwks` },
        ...fetched,
      },
      {
        oidc: 'build',
        issuer: `${origin}/oidc`,
        keys: { jwks_file: 'build.json' },
        attributes: { team: '/team' },
      },
      { users: 'staff', issuer: `${origin}/staff`, keys: { discovery: true }, ...fetched },
    ],
    clients: [
      {
        client_id: 'batch',
        jwks: { keys: [client.publicJwk] },
        workload: 'spiffe://corp.test/agents/batch',
      },
    ],
    ...changes,
  })
  await writeFile(
    join(cwd, 'policies', 'all.cedar'),
    `@id("all-transfer-little")
permit (principal, action == Bank::Action::"transfer_funds", resource)
when { context.input.amount <= 100 };
@id("hand-on") permit (principal, action in Action::"mcp:delegations", resource);`,
  )
  const claimsOf: Record<keyof typeof TOKENS, Record<string, unknown>> = {
    kubernetes: {
      iss: `${origin}/kubernetes`,
      sub: SERVICE_ACCOUNT,
      'kubernetes.io': {
        namespace: 'shop',
        serviceaccount: { name: 'agent', uid: 'u-1' },
        pod: { name: 'agent-7', uid: 'u-2' },
      },
    },
    github: {
      iss: `${origin}/github`,
      sub: 'repo:acme/app:ref:refs/heads/main',
      repository: 'acme/app',
      ref: 'refs/heads/main',
    },
    oidc: { iss: `${origin}/oidc`, sub: 'job-42', team: 'payments' },
    id_token: { iss: `${origin}/staff`, sub: 'alice', nonce: 'n-1' },
    access_token: { iss: `${origin}/staff`, sub: 'alice', client_id: 'chat', jti: 'j-1' },
    id_jag: {
      iss: `${origin}/staff`,
      sub: 'alice',
      client_id: 'spiffe://corp.test/agents/bot',
      jti: 'j-2',
    },
  }
  return {
    ...site,
    origin,
    pods,
    requests: issuers.seen.requests,
    token(issuer, more = {}) {
      const { key, typ, age } = TOKENS[issuer]
      const times = { aud: site.issuer, iat: seconds(), exp: seconds() + age }
      const claims = { ...times, ...claimsOf[issuer], ...more }
      return signJws(typ === undefined ? {} : { typ }, claims as JsonObject, key)
    },
    assertion(more = {}) {
      const times = { iat: seconds(), exp: seconds() + 60 }
      const claims = { iss: 'batch', sub: 'batch', aud: site.issuer, ...times }
      const jti = `${performance.now()}`
      return signJws({ typ: 'JWT' }, { ...claims, jti, ...more } as JsonObject, client)
    },
  }
}

function answer(
  origin: string,
  pods: { readonly alive: boolean },
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const json = (value: object) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(value))
  }
  const [, issuer, rest] = /^\/(\w+)(\/.*)$/.exec(request.url ?? '') ?? []
  if (request.url === REVIEWS) {
    let body = ''
    request.setEncoding('utf8').on('data', (text) => {
      body += text
    })
    request.on('end', () => {
      const { spec, apiVersion, kind } = JSON.parse(body)
      const user = { username: SERVICE_ACCOUNT }
      const status = pods.alive
        ? { authenticated: true, user, audiences: spec.audiences }
        : { authenticated: false, error: 'the pod is gone' }
      json({ apiVersion, kind, status })
    })
  } else if (rest === '/.well-known/openid-configuration') {
    json({ issuer: `${origin}/${issuer}`, jwks_uri: `${origin}/${issuer}/jwks` })
  } else if (rest === '/jwks') {
    const key = issuer === 'staff' ? ec : rsa
    json({ keys: [key.publicJwk] })
  } else {
    response.statusCode = 404
    response.end()
  }
}
