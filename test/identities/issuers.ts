// Issuers of tokens that are no SVIDs: a cluster with its API server, a CI system, an identity provider.
import { writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { CA_PEM, LOOPBACK, type Site, startSite } from '../identity/https-site.ts'
import { type Changes, jwks, jwksKey, token } from '../identity/tokens.ts'
import { seconds } from './domain.ts'

export const CLUSTER = 'https://kubernetes.default.svc.cluster.test'
export const CI = 'https://ci.test'
export const IDP = 'https://idp.test'
export const ALICE = 'user:corp:alice'
export const POD = 'oidc:prod:system:serviceaccount:prod:report-bot'
export const JOB = 'oidc:ci:job-7'
/** A configured client of the identity provider, besides the broker. */
export const DESKTOP = 'desktop-app'
const BROKER_TOKEN = 'broker-token.1'

export interface Issuers {
  /** Entries of the broker's configuration. */
  readonly trust: readonly Record<string, unknown>[]
  /** The API server of the cluster. */
  readonly api: Site
  /** By uid; one that is not here has been deleted. */
  readonly pods: Set<string>
  podToken(changes?: Changes): string
  jobToken(changes?: Changes): string
  /** Alice's ID token for the broker. */
  idToken(changes?: Changes): string
  accessToken(changes?: Changes): string
  /** Alice's word that a workload, by its id, may act for her. */
  idJag(clientId: string, changes?: Changes): string
}

export async function startIssuers(
  t: { after(hook: () => Promise<void>): void },
  { directory, broker }: { readonly directory: string; readonly broker: string },
): Promise<Issuers> {
  const at = (name: string) => join(directory, name)
  const keys = {
    cluster: jwksKey('RS256', 'cluster-1'),
    ci: jwksKey('ES256', 'ci-1'),
    idp: jwksKey('ES256', 'idp-1'),
  }
  for (const [name, key] of Object.entries(keys)) await writeFile(at(`${name}.jwks`), jwks(key))
  await writeFile(at('cluster.token'), `${BROKER_TOKEN}\n`)
  await writeFile(at('cluster.ca'), CA_PEM)

  const pods = new Set<string>()
  const api = await startSite(t, (request, response) => void review(request, response, pods))
  const signed = (
    key: (typeof keys)[keyof typeof keys],
    claims: Record<string, unknown>,
    { header, claims: changes }: Changes = {},
    typ?: string,
  ) => {
    const iat = Math.floor(seconds()) - 1
    const all = {
      aud: broker,
      iat,
      exp: iat + 300,
      jti: crypto.randomUUID(),
      ...claims,
      ...changes,
    }
    return token(key, all, { header: { ...(typ && { typ }), ...header } })
  }
  const pod = (uid: string) => ({
    namespace: 'prod',
    serviceaccount: { name: 'report-bot', uid: 'sa-uid' },
    pod: { name: 'report-bot-7', uid },
  })
  const ofCluster = {
    iss: CLUSTER,
    sub: 'system:serviceaccount:prod:report-bot',
    aud: [broker],
    'kubernetes.io': pod('pod-7'),
  }
  pods.add('pod-7')
  const ofAlice = { iss: IDP, sub: 'alice' }
  return {
    trust: [
      {
        kubernetes: 'prod',
        issuer: CLUSTER,
        keys: { jwks_file: at('cluster.jwks') },
        allow_addresses: LOOPBACK,
        token_review: {
          url: api.origin,
          token_file: at('cluster.token'),
          ca_file: at('cluster.ca'),
        },
      },
      { oidc: 'ci', issuer: CI, keys: { jwks_file: at('ci.jwks') } },
      {
        users: 'corp',
        issuer: IDP,
        keys: { jwks_file: at('idp.jwks') },
        audiences: [broker, DESKTOP],
      },
    ],
    api,
    pods,
    podToken: (changes) => signed(keys.cluster, ofCluster, changes),
    jobToken: (changes) => signed(keys.ci, { iss: CI, sub: 'job-7' }, changes),
    idToken: (changes) => signed(keys.idp, ofAlice, changes),
    accessToken: (changes) =>
      signed(keys.idp, { ...ofAlice, client_id: DESKTOP }, changes, 'at+jwt'),
    idJag: (client_id, changes) =>
      signed(keys.idp, { ...ofAlice, client_id }, changes, 'oauth-id-jag+jwt'),
  }
}

/** What an API server answers to `TokenReview`. */
async function review(
  request: IncomingMessage,
  response: ServerResponse,
  pods: ReadonlySet<string>,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  if (request.headers.authorization !== `Bearer ${BROKER_TOKEN}`) {
    return void response.writeHead(401).end('{"kind":"Status"}')
  }
  const asked = JSON.parse(Buffer.concat(chunks).toString())
  const claims = JSON.parse(Buffer.from(asked.spec.token.split('.')[1], 'base64url').toString())
  const status = pods.has(claims['kubernetes.io'].pod.uid)
    ? {
        authenticated: true,
        user: { username: claims.sub, uid: 'sa-uid' },
        audiences: asked.spec.audiences,
      }
    : { error: '[invalid bearer token, pod not found]' }
  response.writeHead(201, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ ...asked, status }))
}
