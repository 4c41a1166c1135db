// A broker that is away, loses answers or says no changes no count, and a clean stop loses none.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateSenderKey } from '../../src/token/proof.ts'
import { until } from '../support/redis.ts'
import { call, reporterScene, sentSessions } from './reporter-scene.ts'

const scene = reporterScene()

test('counts are exact though the broker goes away, loses answers, and comes back', async () => {
  const keys = Array.from({ length: 5 }, () => generateSenderKey())
  const from = scene.desk.bodies.length
  const verifier = await scene.open()
  const done = new Map(keys.map((key) => [key, { spent: 0, refused: 0 }]))
  let busy = true
  const calling = (async () => {
    for (let n = 0; busy; n++) {
      const key = keys[n % keys.length]!
      const allowed = await call(verifier, key, n % 3 === 0 ? { wrong: n } : {})
      done.get(key)![allowed ? 'spent' : 'refused']++
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  const sentTwice = () =>
    [...sentSessions(scene.desk, from).values()].some((each) => each.length > 1)
  // Kept, and the answer lost on the way.
  scene.desk.before = async (ctx, answer) => {
    await answer()
    ctx.req.socket.destroy()
  }
  await until(sentTwice)
  scene.desk.before = async (ctx) => {
    ctx.status = 503
  }
  await until(() => verifier.problems.length > 0)
  scene.desk.before = undefined
  await scene.desk.down()
  const doneThen = JSON.stringify([...done.values()])
  await until(() => JSON.stringify([...done.values()]) !== doneThen)
  await scene.desk.up()
  const sofar = scene.desk.bodies.length
  await until(() => scene.desk.bodies.length > sofar + 3)
  busy = false
  await calling
  await verifier.close()

  for (const key of keys) assert.deepEqual(await scene.counts(key), done.get(key))
  for (const [sequence, sendings] of sentSessions(scene.desk, from)) {
    assert.equal(new Set(sendings).size, 1, `batch ${sequence} was changed between sendings`)
  }
  assert.deepEqual(
    [...sentSessions(scene.desk, from).keys()],
    [...sentSessions(scene.desk, from).keys()].sort((a, b) => a - b),
  )
})

test('a broker that says no is told of once, and what it refused is kept until it says yes', async () => {
  for (const status of [400, 401, 404]) {
    const key = generateSenderKey()
    let asked = 0
    scene.desk.before = async (ctx) => {
      asked++
      ctx.status = status
      ctx.body = {}
    }
    const verifier = await scene.open()
    await call(verifier, key)
    await until(() => asked >= 4)
    assert.deepEqual(verifier.problems.length, 1)
    assert.match(verifier.problems[0]!, new RegExp(`answers ${status} to reports`))
    scene.desk.before = undefined
    await until(async () => (await scene.counts(key)) !== undefined)
    assert.deepEqual(await scene.counts(key), { spent: 1, refused: 0 })
    // Once for each time that it begins.
    scene.desk.before = async (ctx) => {
      ctx.status = status
    }
    await until(() => verifier.problems.length === 2)
    await verifier.close()
    scene.desk.before = undefined
  }
})

for (const [what, status, sequence] of [
  ['names another sequence', 200, 999],
  ['is a failure that names the sequence', 500, 1],
] as const) {
  test(`an answer that ${what} acknowledges nothing`, async () => {
    const key = generateSenderKey()
    const from = scene.desk.bodies.length
    scene.desk.before = async (ctx) => {
      ctx.status = status
      ctx.body = { sequence }
    }
    const verifier = await scene.open()
    await call(verifier, key)
    await until(() => [...sentSessions(scene.desk, from).values()].some((each) => each.length > 2))
    scene.desk.before = undefined
    await until(async () => (await scene.counts(key)) !== undefined)
  })
}

test('a clean stop loses nothing, with the broker there', async () => {
  const key = generateSenderKey()
  const verifier = await scene.open({ everyMs: 60_000 })
  for (let n = 0; n < 25; n++) await call(verifier, key)
  await verifier.close()
  assert.deepEqual(await scene.counts(key), { spent: 25, refused: 0 })
})

test('a clean stop sends what was gathered while an earlier batch waited', async () => {
  const key = generateSenderKey()
  const verifier = await scene.open({ everyMs: 1000 })
  await scene.desk.down()
  await call(verifier, key)
  await until(() => verifier.problems.length > 0)
  await call(verifier, key)
  await scene.desk.up()
  await verifier.close()
  assert.deepEqual(await scene.counts(key), { spent: 2, refused: 0 })
})

test('a stop that has to lose something says how much', async () => {
  const verifier = await scene.open()
  await scene.desk.down()
  await call(verifier, generateSenderKey())
  await verifier.close()
  assert.match(verifier.problems.at(-1)!, /^1 outcomes were never reported/)
  await scene.desk.up()
})

test('a function that is told of problems and throws changes nothing', async () => {
  const key = generateSenderKey()
  let told = 0
  const onProblem = () => {
    told++
    throw new Error('not today')
  }
  await scene.desk.down()
  const verifier = await scene.open({ onProblem })
  await call(verifier, key)
  await until(() => told > 0)
  await scene.desk.up()
  await until(async () => (await scene.counts(key)) !== undefined)
  await verifier.close()
  await scene.desk.down()
  const other = await scene.open({ onProblem })
  await call(other, key)
  await other.close()
  await scene.desk.up()
})

test('a verifier that is closed twice at once sends everything once', async () => {
  const keys = Array.from({ length: 3 }, () => generateSenderKey())
  const from = scene.desk.bodies.length
  const verifier = await scene.open({ everyMs: 60_000 })
  for (const key of keys) await call(verifier, key)
  await Promise.all([verifier.close(), verifier.close()])
  for (const key of keys) assert.deepEqual(await scene.counts(key), { spent: 1, refused: 0 })
  const sendings = [...sentSessions(scene.desk, from).values()]
  assert.deepEqual(
    sendings.map((each) => each.length),
    [1],
  )
})
