import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  type KubernetesIssuerOptions,
  openKubernetesIssuer,
} from '../../src/identity/issuers/kubernetes.ts'
import { createProver } from '../../src/identity/prover.ts'
import { CA_PEM, LOOPBACK, startSite } from './https-site.ts'
import { ISSUER, NOW, temporaryDirectory } from './svids.ts'
import { type Changes, jwks, jwksKey, presented, refusalOf, token, workloadOf } from './tokens.ts'

const CLUSTER = 'https://kubernetes.default.svc.cluster.test'
const BROKER_TOKEN = 'broker-token.1'
const directory = await temporaryDirectory({ after })
const key = jwksKey('RS256', 'k')
const keysFile = join(directory, 'cluster.json')
await writeFile(keysFile, jwks(key))
const tokenFile = join(directory, 'token')
await writeFile(tokenFile, `${BROKER_TOKEN}\n`)

const claim = {
  namespace: 'prod',
  serviceaccount: { name: 'report-bot', uid: 'sa-uid' },
  pod: { name: 'report-bot-7', uid: 'pod-7' },
  node: { name: 'node-1', uid: 'node-uid' },
}
const SUBJECT = 'system:serviceaccount:prod:report-bot'
const podToken = (changes: Changes = {}) =>
  token(
    key,
    { iss: CLUSTER, sub: SUBJECT, aud: [ISSUER], 'kubernetes.io': claim },
    {
      ...changes,
      header: { typ: undefined, ...changes.header },
    },
  )

/** An API server that knows which pods run, and speaks the TokenReview API. */
const cluster = {
  pods: new Set(['pod-7']),
  audiences: [ISSUER] as string[] | undefined,
  username: undefined as string | undefined,
  answer: undefined as ((response: ServerResponse) => void) | undefined,
  reviews: 0,
}
async function review(request: IncomingMessage, response: ServerResponse): Promise<void> {
  cluster.reviews += 1
  if (cluster.answer !== undefined) return cluster.answer(response)
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const asked = JSON.parse(Buffer.concat(chunks).toString())
  const right =
    request.method === 'POST' &&
    request.url === '/apis/authentication.k8s.io/v1/tokenreviews' &&
    asked.apiVersion === 'authentication.k8s.io/v1' &&
    asked.kind === 'TokenReview'
  if (!right) return void response.writeHead(404).end()
  if (request.headers.authorization !== `Bearer ${BROKER_TOKEN}`) {
    return void response.writeHead(401).end('{"kind":"Status"}')
  }
  const claims = JSON.parse(Buffer.from(asked.spec.token.split('.')[1], 'base64url').toString())
  const authenticated = cluster.pods.has(claims['kubernetes.io'].pod.uid)
  const status = authenticated
    ? {
        authenticated,
        user: { username: cluster.username ?? claims.sub, uid: 'sa-uid' },
        audiences:
          cluster.audiences &&
          asked.spec.audiences.filter((one: string) => cluster.audiences?.includes(one)),
      }
    : { error: '[invalid bearer token, pod not found]' }
  response.writeHead(201, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ ...asked, status }))
}
const api = await startSite({ after }, (request, response) => void review(request, response))

let clockMs = 0
const opened: { close(): Promise<void> }[] = []
after(() => Promise.all(opened.map((one) => one.close())))
async function proverOf(changes: Partial<KubernetesIssuerOptions> = {}) {
  const issuer = await openKubernetesIssuer({
    alias: 'prod',
    issuer: CLUSTER,
    keys: { jwksFile: keysFile },
    audience: ISSUER,
    allowAddresses: LOOPBACK,
    ...changes,
  })
  opened.push(issuer)
  const jwtSvid = { prove: () => assert.fail('no SVID here') }
  return createProver({ issuer: ISSUER, jwtSvid, issuers: [issuer] })
}
async function reviewing(changes: Partial<KubernetesIssuerOptions['tokenReview']> = {}) {
  Object.assign(cluster, {
    pods: new Set(['pod-7']),
    audiences: [ISSUER],
    username: undefined,
    answer: undefined,
    reviews: 0,
  })
  return await proverOf({
    tokenReview: { url: api.origin, tokenFile, ca: CA_PEM, clockMs: () => clockMs, ...changes },
  })
}
const plain = await proverOf()

test('a projected token proves its service account, and says pod and node', async () => {
  const workload = await workloadOf(plain, podToken())
  assert.equal(workload.id, `oidc:prod:${SUBJECT}`)
  assert.deepEqual(
    { ...workload.attributes },
    {
      namespace: 'prod',
      service_account: 'report-bot',
      service_account_uid: 'sa-uid',
      pod_name: 'report-bot-7',
      pod_uid: 'pod-7',
      node_name: 'node-1',
    },
  )
})

test('a token without pod and node is a token all the same', async () => {
  const { pod: _, node: __, ...rest } = claim
  const workload = await workloadOf(plain, podToken({ claims: { 'kubernetes.io': rest } }))
  assert.deepEqual(Object.keys(workload.attributes), [
    'namespace',
    'service_account',
    'service_account_uid',
  ])
})

const REFUSED: readonly (readonly [string, string, Changes])[] = [
  ['for the API server', 'audience', { claims: { aud: ['https://kubernetes.default.svc'] } }],
  ['for the API server as well', 'audience', { claims: { aud: [ISSUER, 'api'] } }],
  ['of another subject', 'subject', { claims: { sub: 'system:serviceaccount:prod:other' } }],
  ['of another namespace', 'subject', { claims: { sub: 'system:serviceaccount:dev:report-bot' } }],
  ['of a node', 'subject', { claims: { sub: 'system:node:node-1' } }],
  ['of a longer subject', 'subject', { claims: { sub: `${SUBJECT}:x` } }],
  [
    'of a subject in capitals',
    'subject',
    { claims: { sub: 'system:serviceaccount:Prod:report-bot' } },
  ],
  ['without the private claim', 'claims', { claims: { 'kubernetes.io': undefined } }],
  ['without a service account', 'claims', { claims: { 'kubernetes.io': { namespace: 'prod' } } }],
  [
    'of a pod without uid',
    'claims',
    { claims: { 'kubernetes.io': { ...claim, pod: { name: 'x' } } } },
  ],
  ['of the older, unbound kind', 'claims', { claims: { exp: undefined } }],
]
for (const [name, check, changes] of REFUSED) {
  test(`refused for its ${check}: a token ${name}`, async () => {
    const text = podToken(changes)
    const answer = await refusalOf(() => plain.proveToken(presented(text), NOW), text)
    assert.equal(answer, `identity_invalid ${check}`)
  })
}

test('the cluster is asked whether the pod still runs, and a yes is kept for seconds only', async () => {
  const prover = await reviewing()
  const text = podToken()
  const ask = () => refusalOf(() => prover.proveToken(presented(text), NOW), text)
  assert.equal(await ask(), 'proven')
  assert.equal(await ask(), 'proven')
  assert.equal(cluster.reviews, 1)
  cluster.pods.clear()
  clockMs += 2999
  assert.equal(await ask(), 'proven')
  clockMs += 1
  assert.equal(await ask(), 'identity_invalid active')
  // A no is never kept.
  cluster.pods.add('pod-7')
  assert.equal(await ask(), 'proven')
  assert.equal(cluster.reviews, 3)
})

test('many uses of one token at once are one question', async () => {
  const prover = await reviewing()
  const text = podToken()
  await Promise.all(Array.from({ length: 20 }, () => prover.proveToken(presented(text), NOW)))
  assert.equal(cluster.reviews, 1)
})

test('a token that is refused anyway is not asked about', async () => {
  const prover = await reviewing()
  for (const changes of REFUSED) {
    const text = podToken(changes[2])
    await refusalOf(() => prover.proveToken(presented(text), NOW), text)
  }
  const forged = `${podToken().slice(0, -300)}${'A'.repeat(300)}`
  await refusalOf(() => prover.proveToken(presented(forged), NOW), forged)
  assert.equal(cluster.reviews, 0)
})

const end = (status: number, body: string) => (response: ServerResponse) =>
  void response.writeHead(status).end(body)
const GOOD_REVIEW = JSON.stringify({
  kind: 'TokenReview',
  status: { authenticated: true, user: { username: SUBJECT }, audiences: [ISSUER] },
})
const ANSWERS: readonly (readonly [string, string, Partial<typeof cluster>])[] = [
  ['a pod that is gone', 'identity_invalid active', { pods: new Set() }],
  ['another user', 'identity_invalid active', { username: 'system:serviceaccount:prod:other' }],
  ['an API server without audiences', 'identity_invalid active', { audiences: undefined }],
  ['another audience', 'identity_invalid active', { audiences: ['x'] }],
  [
    'authenticated as text',
    'identity_invalid active',
    {
      answer: end(
        201,
        JSON.stringify({
          kind: 'TokenReview',
          status: { authenticated: 'true', user: { username: SUBJECT }, audiences: [ISSUER] },
        }),
      ),
    },
  ],
  ['a refusal to answer', 'trust_unavailable', { answer: end(403, '{"kind":"Status"}') }],
  ['an error with a good review in it', 'trust_unavailable', { answer: end(403, GOOD_REVIEW) }],
  ['a failure', 'trust_unavailable', { answer: end(500, '') }],
  [
    'a redirect',
    'trust_unavailable',
    {
      answer: (response) => void response.writeHead(307, { location: '/x' }).end(),
    },
  ],
  [
    'something that is no review',
    'trust_unavailable',
    { answer: end(201, '{"kind":"Status","status":{}}') },
  ],
  ['no JSON', 'trust_unavailable', { answer: end(200, '<html>') }],
  [
    'two members of one name',
    'trust_unavailable',
    {
      answer: end(
        200,
        '{"kind":"TokenReview","status":{"authenticated":false,"authenticated":true}}',
      ),
    },
  ],
  ['an answer without end', 'trust_unavailable', { answer: end(200, 'x'.repeat(70_000)) }],
  ['silence', 'trust_unavailable', { answer: () => undefined }],
]
for (const [name, expected, state] of ANSWERS) {
  test(`${expected}: the cluster answers with ${name}`, async () => {
    const prover = await reviewing({ timeoutMs: 300 })
    Object.assign(cluster, state)
    const text = podToken()
    for (const _ of [1, 2]) {
      assert.equal(await refusalOf(() => prover.proveToken(presented(text), NOW), text), expected)
    }
  })
}

test("the broker's own token is read at each question", async () => {
  const prover = await reviewing()
  const text = podToken()
  const ask = () => refusalOf(() => prover.proveToken(presented(text), NOW), text)
  for (const [wrong, asked] of [
    ['old', 1],
    ['', 1],
    ['two words', 1],
  ] as const) {
    await writeFile(tokenFile, wrong)
    assert.equal(await ask(), 'trust_unavailable')
    // What is no token is sent to nobody.
    assert.equal(cluster.reviews, asked)
  }
  await writeFile(tokenFile, BROKER_TOKEN)
  assert.equal(await ask(), 'proven')
})

test('an API server at an address nobody allowed is not asked', async () => {
  Object.assign(cluster, { answer: undefined })
  const prover = await proverOf({
    allowAddresses: [],
    tokenReview: { url: api.origin, tokenFile, ca: CA_PEM },
  })
  const before = api.seen.connections
  const text = podToken()
  const answer = await refusalOf(() => prover.proveToken(presented(text), NOW), text)
  assert.equal(answer, 'trust_unavailable')
  assert.equal(api.seen.connections, before)
})
