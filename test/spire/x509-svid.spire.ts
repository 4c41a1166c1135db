import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import type { Face } from './agent.ts'
import type { Child } from './child.ts'
import { AGENT, PARTNER, SERVER, STRANGER, startWorld, type World } from './world.ts'

const FACES: readonly Face[] = ['jwt', 'x509', 'mtls']
let world: World
let server: Child

before(async () => {
  world = await startWorld()
  server = await world.startServer(SERVER)
})
after(() => world?.stop())

for (const id of [AGENT, PARTNER]) {
  for (const face of FACES) {
    test(`${id} calls a tool as ${face}`, async () => {
      assert.equal(await world.agent(id).greet(face), 'hello, Ada')
    })
  }
}

test('one workload is one principal, whichever of its SVIDs it shows', async () => {
  const records = await world.broker.audit()
  for (const id of [AGENT, PARTNER]) {
    const issued = records.filter((record) => JSON.stringify(record).includes(`"${id}"`))
    for (const one of issued) console.log(JSON.stringify(one))
  }
  console.log((await readFile(world.serverAuditFile, 'utf8')).split('\n')[1])
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

  for (const face of FACES) {
    await assert.rejects(
      world.agent(AGENT).greet(face),
      (error) => (console.log(error) as never) ?? true,
    )
    assert.equal(await world.agent(PARTNER).greet(face), 'hello, Ada')
  }
  console.log(
    (await world.broker.audit())
      .slice(-9)
      .map((r) => JSON.stringify(r))
      .join('\n'),
  )
})
