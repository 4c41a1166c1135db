// What a process that stopped could not report is kept in a file, and sent by the next one that starts.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, chown, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import type { Context } from 'koa'
import type { JsonObject } from '../../src/lib/json.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import type { Verifier } from '../../src/verifier/verifier.ts'
import { until } from '../support/redis.ts'
import * as rig from '../verifier/rig.ts'
import { call, claimsOf, idOf, reporterScene } from './reporter-scene.ts'

const scene = reporterScene()

/** A file with nothing to send in it. */
const keptBy = (change: JsonObject = {}) =>
  JSON.stringify({
    version: 1,
    client: 'notes',
    resource: rig.RESOURCE,
    lost: 0,
    batches: [],
    ...change,
  })

/** What processes have left under this name. */
async function filesOf(name: string): Promise<string[]> {
  return (await readdir(scene.directory)).filter((one) => one.startsWith(`${name}.`))
}

test('a clean stop loses nothing without the broker, when there is a spool', async () => {
  const spoolFile = join(scene.directory, 'spool')
  const key = generateSenderKey()
  const heardBefore = (await scene.desk.ledger.documents!.list('holder', { limit: 1000 })).length
  const first = await scene.open({ spoolFile })
  await call(first, key)
  await until(async () => (await scene.counts(key)) !== undefined)
  // One batch arrives and is not acknowledged; what comes after it is never sent.
  scene.desk.before = async (ctx, answer) => {
    await answer()
    ctx.req.socket.destroy()
  }
  await call(first, key)
  await until(() => first.problems.length > 0)
  await scene.desk.down()
  await call(first, key)
  await first.close()
  const left = await filesOf('spool')
  assert.equal(left.length, 1)
  assert.equal((await stat(join(scene.directory, left[0]!))).mode & 0o777, 0o600)

  const from = scene.desk.bodies.length
  const second = await scene.open({ spoolFile })
  assert.equal(await call(second, key), true)
  scene.desk.before = undefined
  await scene.desk.up()
  await until(async () => (await scene.counts(key))?.spent === 4)
  await until(async () => (await filesOf('spool')).length === 0)
  await second.close()
  assert.deepEqual(await scene.counts(key), { spent: 4, refused: 0 })
  const holders = await scene.desk.ledger.documents!.list('holder', { limit: 1000 })
  assert.equal(holders.length, heardBefore + 2)
  // The process that ended is not made to say that it hears.
  const hearing = new Map(
    scene.desk.bodies
      .slice(from)
      .map(claimsOf)
      .map((one) => [one.holder, one.heard]),
  )
  assert.deepEqual([...hearing.values()].map((heard) => heard === undefined).sort(), [false, true])
  const by = new Set(
    (await scene.desk.ledger.sessions!.get(idOf(key)))!.actions.map((each) => each.by),
  )
  assert.equal(by.size, 2)
  assert.deepEqual(await readdir(scene.directory), [])
})

test('a spool that is damaged is moved aside; one of another verifier is not touched', async () => {
  const spoolFile = join(scene.directory, 'other-spool')
  const batch = { holder: 'h', kind: 'verifier', sequence: 1, sessions: [] }
  const damaged = [
    '{',
    '[]',
    '{"version":2,"client":"notes","lost":0,"batches":[]}',
    keptBy({ lost: 'none' }),
    keptBy({ batches: {} }),
    keptBy({ batches: [{ ...batch, holder: 1 }] }),
    keptBy({ batches: [{ ...batch, kind: 'broker' }] }),
    keptBy({ batches: [{ ...batch, sequence: 1.5 }] }),
    keptBy({ batches: [{ ...batch, sessions: {} }] }),
  ]
  for (const [n, text] of damaged.entries()) {
    const file = n === 0 ? spoolFile : `${spoolFile}.${'x'.repeat(16)}`
    await writeFile(file, text)
    const verifier = await scene.open({ spoolFile })
    assert.match(verifier.problems[0] ?? '', /was damaged and is now/, text)
    assert.equal(await readFile(`${file}.damaged`, 'utf8'), text)
    await verifier.close()
  }
  const there = await filesOf(basename(spoolFile))
  const others: JsonObject[] = [{ resource: 'https://b.example/mcp' }, { client: 'files' }]
  for (const other of others) {
    const text = keptBy(other)
    await writeFile(spoolFile, text)
    await assert.rejects(scene.open({ spoolFile }), /keeps the reports of another verifier/)
    assert.equal(await readFile(spoolFile, 'utf8'), text)
    // What it counted meanwhile would keep the other from starting.
    await call(scene.last())
    await scene.last().close()
    assert.equal(await readFile(spoolFile, 'utf8'), text)
    assert.deepEqual(await filesOf(basename(spoolFile)), there)
  }
})

test('processes that share a spool lose nothing to each other, and nothing of theirs counts twice', async () => {
  const spoolFile = join(scene.directory, 'shared')
  const keys = [generateSenderKey(), generateSenderKey()]
  const both = async (used: readonly Verifier[]) => {
    for (const [n, verifier] of used.entries()) await call(verifier, keys[n])
  }
  const first = [await scene.open({ spoolFile }), await scene.open({ spoolFile })]
  await scene.desk.down()
  await both(first)
  for (const verifier of first) await verifier.close()
  // Each finds what both left, and leaves more before it could send any of it.
  const second = [await scene.open({ spoolFile }), await scene.open({ spoolFile })]
  await both(second)
  for (const verifier of second) await verifier.close()
  assert.equal((await filesOf('shared')).length, 4)

  const third = [await scene.open({ spoolFile }), await scene.open({ spoolFile })]
  await both(third)
  await scene.desk.up()
  await until(async () => (await filesOf('shared')).length === 0)
  for (const verifier of third) await verifier.close()
  for (const key of keys) assert.deepEqual(await scene.counts(key), { spent: 3, refused: 0 })
  assert.deepEqual(await filesOf('shared'), [])
})

test('what one process sent and another has found as well does not take a file that came later', async () => {
  const spoolFile = join(scene.directory, 'later')
  const key = generateSenderKey()
  const one = await scene.open({ spoolFile })
  await scene.desk.down()
  await call(one, key)
  await one.close()
  const slow = await scene.open({ spoolFile, everyMs: 1000 })
  const quick = await scene.open({ spoolFile })
  await scene.desk.up()
  await until(async () => (await filesOf('later')).length === 0)
  await scene.desk.down()
  await call(quick, key)
  await quick.close()
  await scene.desk.up()
  await slow.close()
  assert.equal((await filesOf('later')).length, 1)
  await (await scene.open({ spoolFile })).close()
  assert.deepEqual(await scene.counts(key), { spent: 2, refused: 0 })
})

test('a spool is sent as what its process counted, and could not count; the file of before is one', async () => {
  const spoolFile = join(scene.directory, 'before')
  const key = generateSenderKey()
  const verifier = await scene.open({ spoolFile })
  await scene.desk.down()
  await call(verifier, key)
  await verifier.close()
  const [name = ''] = await filesOf('before')
  const kept = JSON.parse(await readFile(join(scene.directory, name), 'utf8'))
  await rm(join(scene.directory, name))
  await writeFile(spoolFile, JSON.stringify({ ...kept, lost: 7 }), { mode: 0o600 })
  await writeFile(`${spoolFile}.${'x'.repeat(16)}.draft`, '{"version":1,"clie')

  const from = scene.desk.bodies.length
  await scene.desk.up()
  const next = await scene.open({ spoolFile })
  await until(async () => !(await readdir(scene.directory)).includes('before'))
  await call(next, key)
  await until(async () => (await scene.counts(key))?.spent === 2)
  assert.deepEqual(next.problems, [])
  const lost = new Map(
    scene.desk.bodies.slice(from).map((body) => [claimsOf(body).holder, claimsOf(body).lost]),
  )
  assert.equal(lost.size, 2)
  assert.equal(lost.get(kept.batches[0].holder), 7)
  // The one that lost them is gone, so the one that found them says it to admins.
  const holders = await scene.desk.ledger.documents!.list('holder', { limit: 1000 })
  const own = [...lost.keys()].find((holder) => holder !== kept.batches[0].holder)
  assert.equal(holders.find(({ value }) => value.id === own)?.value.lost, 7)
  await scene.desk.down()
  await call(next, key)
  await next.close()
  const [again = ''] = (await filesOf('before')).filter((one) => !one.endsWith('.draft'))
  const left = JSON.parse(await readFile(join(scene.directory, again), 'utf8'))
  assert.equal(left.lost, 7, 'the file it was in is gone')
  await scene.desk.up()
})

test('a spool is kept until all of it is acknowledged, and holds no more batches than it must', async () => {
  const spoolFile = join(scene.directory, 'partly')
  const key = generateSenderKey()
  let asked = 0
  const never = async (ctx: Context) => {
    asked++
    ctx.status = 503
  }
  scene.desk.before = never
  const first = await scene.open({ spoolFile })
  for (let n = 0; n < 3; n++) {
    await call(first, key)
    const before = asked
    await until(() => asked > before + 1)
  }
  await first.close()
  const left = await filesOf('partly')
  const kept = JSON.parse(await readFile(join(scene.directory, left[0] ?? ''), 'utf8'))
  assert.equal(kept.batches.length, 2)

  scene.desk.before = async (_, answer) => {
    scene.desk.before = never
    await answer()
  }
  const second = await scene.open({ spoolFile })
  await until(() => second.problems.length > 0)
  await second.close()
  assert.deepEqual(await filesOf('partly'), left)
  assert.deepEqual(await scene.counts(key), { spent: 1, refused: 0 })

  scene.desk.before = undefined
  await (await scene.open({ spoolFile })).close()
  assert.deepEqual(await scene.counts(key), { spent: 3, refused: 0 })
  assert.deepEqual(await filesOf('partly'), [])
})

test('what is more than one start reads stays for a later one', async () => {
  const spoolFile = join(scene.directory, 'much')
  await writeFile(spoolFile, keptBy())
  // Nothing of it on the disk, and no spool: it would be moved aside if it were read.
  const rest = `${spoolFile}.${'x'.repeat(16)}`
  await writeFile(rest, '', { mode: 0o600 })
  await truncate(rest, 256 * 1024 ** 2)
  const verifier = await scene.open({ spoolFile })
  await verifier.close()
  assert.deepEqual(verifier.problems, [])
  assert.deepEqual(await filesOf('much'), [basename(rest)])
  await rm(rest)
})

test('a pipe in the place of a spool is refused; one that is far too large is moved aside unread', async () => {
  const pipe = join(scene.directory, 'pipe-spool')
  execFileSync('mkfifo', [pipe])
  await assert.rejects(scene.open({ spoolFile: pipe }), /no file that could keep reports/)
  await scene.last().close()
  const large = join(scene.directory, 'large-spool')
  await writeFile(large, '')
  // More than Node reads of a file, and nothing of it on the disk.
  await truncate(large, 3 * 1024 ** 3)
  const verifier = await scene.open({ spoolFile: large })
  assert.match(verifier.problems[0]!, /was damaged and is now/)
  await verifier.close()
})

test('a spool that others may write is not signed', async () => {
  const spoolFile = join(scene.directory, 'open-spool')
  await writeFile(spoolFile, keptBy())
  await chmod(spoolFile, 0o666)
  await assert.rejects(scene.open({ spoolFile }), /other users can write it/)
  await scene.last().close()
  // Nobody else can give a file away.
  if (process.getuid?.() !== 0) return
  await chmod(spoolFile, 0o600)
  await chown(spoolFile, 12_345, 12_345)
  await assert.rejects(scene.open({ spoolFile }), /other users can write it/)
  await scene.last().close()
})
