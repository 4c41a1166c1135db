import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import type { Face } from './agent.ts'
import type { Child } from './child.ts'
import { AGENT, explain, PARTNER, SERVER, STRANGER, startWorld, type World } from './world.ts'

const FACES: readonly Face[] = ['jwt', 'x509', 'mtls']
let world: World
let server: Child

before(async () => {
  world = await startWorld()
  server = await world.startServer(SERVER)
})
after(() => world?.stop())
explain(() => world)

for (const id of [AGENT, PARTNER]) {
  for (const face of FACES) {
    test(`${id} calls a tool as ${face}`, async () => {
      assert.equal(await world.agent(id).greet(face), 'hello, Ada')
    })
  }
}

test('one workload is one principal, whichever of its SVIDs it shows', async () => {
  const atBroker = await world.broker.audit()
  const atServer = await recordsIn(world.serverAuditFile)
  for (const id of [AGENT, PARTNER]) {
    for (const records of [atBroker, atServer]) {
      const calls = records.filter(({ workload, name }) => workload === id && name === 'greet')
      assert.equal(calls.length, FACES.length)
      assert.deepEqual(new Set(calls.map(({ principal }) => principal)), new Set([id]))
    }
    const issued = atBroker.filter(
      ({ workload, outcome }) => workload === id && outcome === 'issued',
    )
    assert.deepEqual(
      new Set(issued.map(({ door }) => door)),
      new Set(['token-exchange', 'client_credentials']),
    )
    assert.equal(new Set(issued.map(({ policies }) => String(policies))).size, 1)
    const certificates = new Set(issued.map(({ key }) => key).filter(isCertificate))
    assert.equal(certificates.size, 1, 'one of the faces has its tokens bound to a certificate')
  }
})

test('a workload that no policy names is refused by either of its SVIDs', async () => {
  for (const face of FACES) {
    await assert.rejects(world.agent(STRANGER).greet(face), /invalid_target/)
  }
})

test('a server with another SVID of the same trust domain is sent nothing', async () => {
  await server.stop()
  const impostor = await world.startServer(STRANGER)
  for (const id of [AGENT, PARTNER]) {
    for (const face of FACES) {
      await assert.rejects(world.agent(id).greet(face), { code: 'server_unproven' })
    }
  }
  await impostor.stop()
  server = await world.startServer(SERVER)
  assert.equal(await world.agent(AGENT).greet('jwt'), 'hello, Ada')
})

test('a revoked agent is refused at both doors, and nobody else is', async () => {
  await world.broker.revoke(AGENT)
  const { length } = await world.broker.audit()
  for (const face of FACES) {
    await assert.rejects(world.agent(AGENT).greet(face), { code: 'token_refused' })
    assert.equal(await world.agent(PARTNER).greet(face), 'hello, Ada')
  }
  const refused = (await world.broker.audit())
    .slice(length)
    .filter(({ outcome }) => outcome === 'refused')
  assert.deepEqual(
    refused.map(({ door, workload, reason }) => ({ door, workload, reason })),
    ['token-exchange', 'client_credentials', 'client_credentials'].map((door) => ({
      door,
      workload: AGENT,
      reason: 'revoked',
    })),
  )
})

function isCertificate(key: unknown): boolean {
  return String(key).startsWith('x5t#S256:')
}

async function recordsIn(file: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(file, 'utf8')).trim().split('\n')
  return lines.map((line) => JSON.parse(line))
}
