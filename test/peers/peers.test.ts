/**
 * Two OAuth clients that nobody here wrote go the whole way: from the server's metadata to the broker,
 * to a token for one action, to the tool, and to what became of the token.
 */
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { Server as HttpServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { memoryLedger } from '../../src/ledger/memory.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { createVerifier, nodeGate, type Verifier } from '../../src/verifier/index.ts'
import { reserve, serveV2, TOOLS } from '../matrix/servers.ts'
import { BOT, type Real, startReal } from './real.ts'

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const insecure = { [oauth.allowInsecureRequests]: true }
const mcp = serveV2()
const records: { outcome: string; reason?: string | undefined; workload?: string | undefined }[] =
  []

let directory: string
let admin: KeyObject
let http: HttpServer
let resource: string
let real: Real
let verifier: Verifier
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-peers-'))
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  admin = pair.privateKey
  const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'admin-1', alg: 'ES256' }
  await writeFile(join(directory, 'admin.json'), JSON.stringify({ keys: [jwk] }))
  const place = await reserve()
  http = place.http
  resource = place.url
  real = await startReal({
    servers: { Notes: resource },
    tools: TOOLS as unknown as JsonObject[],
    policies: `permit (principal == Workload::"${BOT}",
      action in [Notes::Action::"add", Notes::Action::"mcp:session"], resource);`,
    nonces: true,
    settings: {
      clients: [
        {
          client_id: 'admin',
          jwks_file: join(directory, 'admin.json'),
          scopes: ['writ:admin', 'writ:introspect'],
        },
      ],
    },
  })
  verifier = createVerifier({
    issuer: real.issuer,
    resource,
    ledger: memoryLedger(),
    definitions: TOOLS as unknown as JsonObject[],
    audit: (record) => void records.push(record),
    dpop: { nonceSecret: Buffer.alloc(32, 3) },
  })
  const gate = nodeGate(verifier)
  http.on('request', async (req, res) => {
    if (await gate(req, res)) await mcp.node(req, res, (req as { body?: unknown }).body)
  })
  await verifier.ready()
})
after(async () => {
  await verifier?.close()
  http?.closeAllConnections()
  http?.close()
  await real?.stop()
  await rm(directory, { recursive: true, force: true })
})

/** Sends once more after a demand for a nonce, which the library has noted by then. */
async function withNonce<T>(send: () => Promise<T>): Promise<T> {
  let demands = 0
  for (;;) {
    try {
      const answer = await send()
      assert.equal(demands, 1, 'a nonce is demanded of a client that has none')
      return answer
    } catch (error) {
      if (!oauth.isDPoPNonceError(error) || ++demands > 1) throw error
    }
  }
}

/** From nothing but the server's URL to its authorization server. */
async function discover(): Promise<oauth.AuthorizationServer> {
  const found = await oauth.processResourceDiscoveryResponse(
    new URL(resource),
    await oauth.resourceDiscoveryRequest(new URL(resource), insecure),
  )
  assert.equal(found.resource, resource)
  assert.equal(found.dpop_bound_access_tokens_required, true)
  const issuer = new URL(found.authorization_servers?.[0] ?? '')
  return oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
  )
}

/** The documented request, as a stranger's library sends it. */
async function obtain(as: oauth.AuthorizationServer, DPoP: oauth.DPoPHandle, text: string) {
  const client = { client_id: BOT }
  const form = new URLSearchParams({
    resource,
    subject_token: await real.svid(),
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    authorization_details: JSON.stringify([
      {
        type: 'mcp_action',
        locations: [resource],
        actions: ['tools/call'],
        identifier: 'add',
        arguments: { text },
      },
    ]),
  })
  return async () =>
    oauth.processGenericTokenEndpointResponse(
      as,
      client,
      await oauth.genericTokenEndpointRequest(as, client, oauth.None(), TOKEN_EXCHANGE, form, {
        DPoP,
        ...insecure,
      }),
    )
}

function call(token: string, DPoP: oauth.DPoPHandle, text: string): Promise<Response> {
  const params = { name: 'add', arguments: { text } }
  return oauth.protectedResourceRequest(
    token,
    'POST',
    new URL(resource),
    new Headers({
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    }),
    JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
    { DPoP, ...insecure },
  )
}

async function refusedAs(error: string, promise: Promise<Response>): Promise<void> {
  await assert.rejects(promise, (thrown) => {
    assert.ok(thrown instanceof oauth.WWWAuthenticateChallengeError, String(thrown))
    assert.deepEqual(
      thrown.cause.map(({ scheme }) => scheme),
      ['bearer', 'dpop'],
    )
    assert.ok(thrown.cause.some(({ parameters }) => parameters.error === error))
    return true
  })
}

test('oauth4webapi finds the broker, gets a token for one action, and uses it once', async () => {
  const as = await discover()
  assert.equal(as.issuer, real.issuer)
  const DPoP = oauth.DPoP({}, await oauth.generateKeyPair('ES256'))
  const granted = await withNonce(await obtain(as, DPoP, 'hello'))
  assert.equal(granted.token_type, 'dpop')

  await refusedAs(
    'insufficient_scope',
    withNonce(() => call(granted.access_token, DPoP, 'bye')),
  )
  const response = await call(granted.access_token, DPoP, 'hello')
  assert.equal(response.status, 200)
  assert.match(await response.text(), new RegExp(`add hello for ${BOT}`))
  assert.deepEqual(mcp.ran, ['add hello'])

  await refusedAs('invalid_token', call(granted.access_token, DPoP, 'hello'))
  const thief = oauth.DPoP({}, await oauth.generateKeyPair('ES256'))
  await refusedAs(
    'invalid_token',
    withNonce(() => call(granted.access_token, thief, 'hello')),
  )
  assert.deepEqual(mcp.ran, ['add hello'])
  assert.deepEqual(
    records.filter(({ reason }) => reason !== 'nonce_required').map(({ reason }) => reason),
    ['action_mismatch', undefined, 'token_spent', 'key_mismatch'],
  )
  const issued = (await real.audited()).filter(({ outcome }) => outcome === 'issued')
  assert.deepEqual(
    issued.map(({ workload, name }) => [workload, name]),
    [[BOT, 'add']],
  )
})

test('openid-client signs in with its key, inspects the token of an agent, and stops it', async () => {
  const key = await crypto.subtle.importKey(
    'jwk',
    admin.export({ format: 'jwk' }),
    { name: 'ECDSA', namedCurve: 'P-256' },
    false,
    ['sign'],
  )
  const config = await openid.discovery(
    new URL(real.issuer),
    'admin',
    undefined,
    openid.PrivateKeyJwt({ key, kid: 'admin-1' }),
    { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] },
  )
  const handle = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
  const own = await openid.clientCredentialsGrant(
    config,
    { scope: 'writ:admin', resource: real.issuer },
    { DPoP: handle },
  )
  assert.equal(own.token_type, 'dpop')

  const as = await discover()
  const DPoP = oauth.DPoP({}, await oauth.generateKeyPair('ES256', { extractable: true }))
  const granted = await withNonce(await obtain(as, DPoP, 'later'))
  const told = await openid.tokenIntrospection(config, granted.access_token)
  const { active, client_id, aud, scope, token_type } = told
  assert.deepEqual(
    { active, client_id, aud, scope, token_type },
    { active: true, client_id: BOT, aud: resource, scope: 'mcp:action', token_type: 'DPoP' },
  )
  const jkt = await DPoP.calculateThumbprint()
  assert.equal((told.cnf as { jkt?: string }).jkt, jkt)
  assert.equal(told.authorization_details?.[0]?.type, 'mcp_action')

  await openid.tokenRevocation(config, granted.access_token)
  assert.deepEqual(await openid.tokenIntrospection(config, granted.access_token), { active: false })
  const ranBefore = mcp.ran.length
  // The bound within which every server knows.
  await sleep(1000)
  await refusedAs(
    'invalid_token',
    withNonce(() => call(granted.access_token, DPoP, 'later')),
  )
  assert.equal(records.at(-1)?.reason, 'revoked')
  assert.equal(mcp.ran.length, ranBefore)
})
