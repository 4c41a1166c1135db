import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { redisLedger } from '../../src/ledger/redis.ts'
import { generateSenderKey, makeProof } from '../../src/token/proof.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { assertion, testClient } from '../server/fixture.ts'
import { ageRedis } from '../support/aged-store.ts'
import { skipWithoutRedis, startRedis } from '../support/redis.ts'
import { askForToken, makeSite, RESOURCE } from './site.ts'
import { collect, start, temporaryDirectory } from './writ.ts'

test('a token that a verifier has spent in the broker’s Redis is inactive', {
  skip: skipWithoutRedis,
}, async (t) => {
  const redis = await startRedis()
  t.after(() => redis.stop())
  await ageRedis(redis.url)
  const desk = testClient('desk', { scopes: ['writ:introspect'] })
  const { jwks } = desk.client
  const clients = [{ client_id: 'desk', jwks, scopes: ['writ:introspect'], resources: [RESOURCE] }]
  const site = await makeSite(await temporaryDirectory(t), {
    store: { redis: { url: redis.url } },
    clients,
  })
  const child = start(['serve', '--config', 'writ.yaml', '--json'], { cwd: site.cwd })
  const output = collect(child)
  const ended = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  while (!output().stdout.includes('\n') && child.exitCode === null) await sleep(20)
  assert.equal(child.exitCode, null, output().stdout + output().stderr)

  const ledger = redisLedger({ url: redis.url, role: 'verifier', resource: RESOURCE })
  const verifier = createVerifier({
    issuer: site.issuer,
    resource: RESOURCE,
    ledger,
    definitions: 'unchecked',
    audit: () => {},
  })
  t.after(async () => {
    await verifier.close()
    await ledger.close()
  })
  await verifier.ready()

  const key = generateSenderKey()
  const tokens = await Promise.all(
    [key, key].map(async (held) => (await askForToken(site, { key: held })).body.access_token),
  )
  const active = async (token: unknown) => {
    const body = new URLSearchParams({ token: String(token), ...assertion(site.issuer, desk) })
    const response = await fetch(`${site.issuer}/introspect`, { method: 'POST', body })
    assert.equal(response.status, 200)
    return ((await response.json()) as { active: boolean }).active
  }
  assert.deepEqual(await Promise.all(tokens.map(active)), [true, true])

  const accessToken = String(tokens[0])
  const now = Date.now() / 1000
  const headers: Record<string, string> = {
    host: new URL(RESOURCE).host,
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    authorization: `DPoP ${accessToken}`,
    dpop: makeProof(key, { method: 'POST', url: RESOURCE, now, accessToken }),
  }
  const params = { name: 'transfer_funds', arguments: { to: 'alice', amount: 5 } }
  const outcome = await verifier.check({
    method: 'POST',
    path: new URL(RESOURCE).pathname,
    headers: (name) => [headers[name] ?? []].flat(),
    body: Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })),
  })
  assert.ok(outcome.allowed, JSON.stringify(outcome))
  assert.deepEqual(await Promise.all(tokens.map(active)), [false, true])
})
