// A verifier that reports: what its broker learns, exactly, whatever happens in between.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import type { JsonObject } from '../../src/lib/json.ts'
import { generateSenderKey, type SenderKey } from '../../src/token/proof.ts'
import { sessionId } from '../../src/token/session-id.ts'
import type { ReportsOption, VerifierOptions } from '../../src/verifier/options.ts'
import { createVerifier, type Verifier } from '../../src/verifier/verifier.ts'
import { until } from '../support/redis.ts'
import * as rig from '../verifier/rig.ts'
import { AGENT, type Desk, reporterClient, startDesk } from './desk.ts'

const notes = reporterClient()
let directory: string
let desk: Desk
const opened: Verifier[] = []
let scene: Awaited<ReturnType<typeof rig.options>>

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-reporter-'))
  scene = await rig.options()
  desk = await startDesk([notes.client])
})
afterEach(async () => {
  desk.before = undefined
  for (const verifier of opened.splice(0)) await verifier.close()
})
after(async () => {
  await scene.publisher.close()
  await desk.close()
  await rm(directory, { recursive: true })
})

async function open(
  change: Partial<ReportsOption> = {},
  more: Partial<VerifierOptions> = {},
): Promise<Verifier & { readonly problems: string[] }> {
  const problems: string[] = []
  const verifier = createVerifier({
    ...scene.options,
    reports: {
      clientId: 'notes',
      key: notes.key,
      url: desk.url,
      everyMs: 20,
      onProblem: (problem) => problems.push(problem),
      ...change,
    },
    ...more,
  })
  opened.push(verifier)
  await verifier.ready()
  return { ...verifier, problems }
}

const idOf = (key: SenderKey) => sessionId(AGENT, AGENT, { jkt: key.jkt })

async function counts(key: SenderKey) {
  const found = await desk.ledger.sessions!.get(idOf(key))
  return found && { spent: found.session.spent, refused: found.session.refused }
}

/** A call with a token of its own, allowed unless `message` is not what the token is for. */
async function call(verifier: Verifier, key: SenderKey, args: JsonObject = {}): Promise<boolean> {
  const token = rig.mint(rig.claimsFor({}, {}, key))
  const request = rig.request({ token, key, message: rig.callMessage(args) })
  return (await verifier.check(request)).allowed
}

function claimsOf(body: string) {
  return JSON.parse(Buffer.from(body.split('.')[1] ?? '', 'base64url').toString())
}

/** What was sent, by sequence: the sessions of each sending of it. */
function sentSessions(from: number): Map<number, string[]> {
  const sent = new Map<number, string[]>()
  for (const body of desk.bodies.slice(from)) {
    const claims = claimsOf(body)
    if (claims.sessions.length === 0) continue
    sent.set(claims.sequence, [
      ...(sent.get(claims.sequence) ?? []),
      JSON.stringify(claims.sessions),
    ])
  }
  return sent
}

test('every use and every refusal of a verified token is counted for its session', async () => {
  const verifier = await open()
  const key = generateSenderKey()
  assert.equal(await call(verifier, key), true)
  const session = rig.mint(rig.claimsFor('session', {}, key))
  const listing = { jsonrpc: '2.0', id: 1, method: 'tools/list' }
  await verifier.check(rig.request({ token: session, key, message: listing }))
  // A token for other arguments, a spent one, and one in the hands of another key.
  assert.equal(await call(verifier, key, { other: true }), false)
  const once = rig.mint(rig.claimsFor({}, {}, key))
  await verifier.check(rig.request({ token: once, key }))
  await verifier.check(rig.request({ token: once, key }))
  await verifier.check(rig.request({ token: rig.mint(rig.claimsFor({}, {}, key)) }))
  // Nobody's: its token is not believed.
  const forged = rig.mint(rig.claimsFor({}, {}, key), rig.signingKey('another'))
  await verifier.check(rig.request({ token: forged, key }))

  await until(async () => (await counts(key))?.refused === 3)
  assert.deepEqual(await counts(key), { spent: 3, refused: 3 })
  const { actions } = (await desk.ledger.sessions!.get(idOf(key)))!
  assert.deepEqual(
    actions.map(({ outcome, method, name, reason, address, server }) => [
      outcome,
      method,
      name,
      reason,
      address,
      server,
    ]),
    [
      ['refused', 'tools/call', 'add_note', 'key_mismatch', '192.0.2.7', rig.RESOURCE],
      ['refused', 'tools/call', 'add_note', 'token_spent', '192.0.2.7', rig.RESOURCE],
      ['spent', 'tools/call', 'add_note', undefined, '192.0.2.7', rig.RESOURCE],
      ['refused', 'tools/call', 'add_note', 'action_mismatch', '192.0.2.7', rig.RESOURCE],
      // A use of a session token has no name.
      ['spent', 'tools/list', undefined, undefined, '192.0.2.7', rig.RESOURCE],
      ['spent', 'tools/call', 'add_note', undefined, '192.0.2.7', rig.RESOURCE],
    ],
  )
  assert.ok(actions.every((action) => action.arguments === undefined))
})

test('what was allowed and could not be recorded is told of as refused', async () => {
  const key = generateSenderKey()
  const audit = async () => {
    throw new Error('no space left')
  }
  const verifier = await open({}, { audit })
  assert.equal(await call(verifier, key), false)
  await until(async () => (await counts(key)) !== undefined)
  assert.deepEqual(await counts(key), { spent: 0, refused: 1 })
})

test('counts are exact though the broker goes away, loses answers, and comes back', async () => {
  const keys = Array.from({ length: 5 }, () => generateSenderKey())
  const from = desk.bodies.length
  const verifier = await open()
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
  const sentTwice = () => [...sentSessions(from).values()].some((each) => each.length > 1)
  // Kept, and the answer lost on the way.
  desk.before = async (ctx, answer) => {
    await answer()
    ctx.req.socket.destroy()
  }
  await until(sentTwice)
  desk.before = async (ctx) => {
    ctx.status = 503
  }
  await until(() => verifier.problems.length > 0)
  desk.before = undefined
  await desk.down()
  const doneThen = JSON.stringify([...done.values()])
  await until(() => JSON.stringify([...done.values()]) !== doneThen)
  await desk.up()
  const sofar = desk.bodies.length
  await until(() => desk.bodies.length > sofar + 3)
  busy = false
  await calling
  await verifier.close()

  for (const key of keys) assert.deepEqual(await counts(key), done.get(key))
  for (const [sequence, sendings] of sentSessions(from)) {
    assert.equal(new Set(sendings).size, 1, `batch ${sequence} was changed between sendings`)
  }
  assert.deepEqual(
    [...sentSessions(from).keys()],
    [...sentSessions(from).keys()].sort((a, b) => a - b),
  )
})

test('a broker that says no is told of once, and what it refused is kept until it says yes', async () => {
  for (const status of [400, 401, 404]) {
    const key = generateSenderKey()
    let asked = 0
    desk.before = async (ctx) => {
      asked++
      ctx.status = status
      ctx.body = {}
    }
    const verifier = await open()
    await call(verifier, key)
    await until(() => asked >= 4)
    assert.deepEqual(verifier.problems.length, 1)
    assert.match(verifier.problems[0]!, new RegExp(`answers ${status} to reports`))
    desk.before = undefined
    await until(async () => (await counts(key)) !== undefined)
    assert.deepEqual(await counts(key), { spent: 1, refused: 0 })
    await verifier.close()
  }
})

test('an answer that names another sequence acknowledges nothing', async () => {
  const key = generateSenderKey()
  const from = desk.bodies.length
  desk.before = async (ctx) => {
    ctx.body = { sequence: 999 }
  }
  const verifier = await open()
  await call(verifier, key)
  await until(() => [...sentSessions(from).values()].some((each) => each.length > 2))
  desk.before = undefined
  await until(async () => (await counts(key)) !== undefined)
})

test('a clean stop loses nothing, with the broker there', async () => {
  const key = generateSenderKey()
  const verifier = await open({ everyMs: 60_000 })
  for (let n = 0; n < 25; n++) await call(verifier, key)
  await verifier.close()
  assert.deepEqual(await counts(key), { spent: 25, refused: 0 })
})

test('a clean stop sends what was gathered while an earlier batch waited', async () => {
  const key = generateSenderKey()
  const verifier = await open({ everyMs: 1000 })
  await desk.down()
  await call(verifier, key)
  await until(() => verifier.problems.length > 0)
  await call(verifier, key)
  await desk.up()
  await verifier.close()
  assert.deepEqual(await counts(key), { spent: 2, refused: 0 })
})

test('a clean stop loses nothing without the broker, when there is a spool', async () => {
  const spoolFile = join(directory, 'spool')
  const key = generateSenderKey()
  const heardBefore = (await desk.ledger.documents!.list('holder', { limit: 1000 })).length
  const first = await open({ spoolFile })
  await call(first, key)
  await until(async () => (await counts(key)) !== undefined)
  // One batch arrives and is not acknowledged; what comes after it is never sent.
  desk.before = async (ctx, answer) => {
    await answer()
    ctx.req.socket.destroy()
  }
  await call(first, key)
  await until(() => first.problems.length > 0)
  await desk.down()
  await call(first, key)
  await first.close()
  assert.equal((await stat(spoolFile)).mode & 0o777, 0o600)

  const from = desk.bodies.length
  const second = await open({ spoolFile })
  assert.equal(await call(second, key), true)
  desk.before = undefined
  await desk.up()
  await until(async () => (await counts(key))?.spent === 4)
  await until(async () => !(await readdir(directory)).includes('spool'))
  await second.close()
  assert.deepEqual(await counts(key), { spent: 4, refused: 0 })
  const holders = await desk.ledger.documents!.list('holder', { limit: 1000 })
  assert.equal(holders.length, heardBefore + 2)
  // The process that ended is not made to say that it hears.
  const hearing = new Map(
    desk.bodies
      .slice(from)
      .map(claimsOf)
      .map((one) => [one.holder, one.heard]),
  )
  assert.deepEqual([...hearing.values()].map((heard) => heard === undefined).sort(), [false, true])
  const by = new Set((await desk.ledger.sessions!.get(idOf(key)))!.actions.map((each) => each.by))
  assert.equal(by.size, 2)
  assert.deepEqual(await readdir(directory), [])
})

test('a stop that has to lose something says how much', async () => {
  const verifier = await open()
  await desk.down()
  await call(verifier, generateSenderKey())
  await verifier.close()
  assert.match(verifier.problems.at(-1)!, /^1 outcomes were never reported/)
  await desk.up()
})

test('a spool that is damaged is moved aside; one of another verifier is not touched', async () => {
  const spoolFile = join(directory, 'other-spool')
  for (const text of ['{', '{"version":2}', '{"version":1,"lost":0,"batches":[{}]}']) {
    await writeFile(spoolFile, text)
    const verifier = await open({ spoolFile })
    assert.match(verifier.problems[0]!, /was damaged and is now/)
    assert.equal(await readFile(`${spoolFile}.damaged`, 'utf8'), text)
    await verifier.close()
  }
  const other = { version: 1, client: 'notes', resource: 'https://b.example/mcp', lost: 0 }
  const text = JSON.stringify({ ...other, batches: [] })
  await writeFile(spoolFile, text)
  await assert.rejects(open({ spoolFile }), /keeps the reports of another verifier/)
  assert.equal(await readFile(spoolFile, 'utf8'), text)
  await opened.pop()!.close()
  assert.equal(await readFile(spoolFile, 'utf8'), text)
})

test('a spool that another process has written meanwhile is not replaced', async () => {
  const spoolFile = join(directory, 'shared-spool')
  const two = [await open({ spoolFile }), await open({ spoolFile })]
  await desk.down()
  for (const verifier of two) await call(verifier, generateSenderKey())
  await two[0]!.close()
  const kept = await readFile(spoolFile, 'utf8')
  await two[1]!.close()
  assert.match(
    two[1]!.problems.at(-1)!,
    /^1 outcomes were never reported: .*give each its own spoolFile/,
  )
  assert.equal(await readFile(spoolFile, 'utf8'), kept)
  assert.ok((await readdir(directory)).every((name) => !name.endsWith('.draft')))
  await desk.up()
})

test('a pipe in the place of a spool is refused; one that is far too large is moved aside unread', async () => {
  const pipe = join(directory, 'pipe-spool')
  execFileSync('mkfifo', [pipe])
  await assert.rejects(open({ spoolFile: pipe }), /no file that could keep reports/)
  await opened.pop()!.close()
  const large = join(directory, 'large-spool')
  await writeFile(large, '')
  // More than Node reads of a file, and nothing of it on the disk.
  await truncate(large, 3 * 1024 ** 3)
  const verifier = await open({ spoolFile: large })
  assert.match(verifier.problems[0]!, /was damaged and is now/)
  await verifier.close()
})

test('a spool that others may write is not signed', async () => {
  const spoolFile = join(directory, 'open-spool')
  const kept = { version: 1, client: 'notes', resource: rig.RESOURCE, lost: 0, batches: [] }
  await writeFile(spoolFile, JSON.stringify(kept))
  await chmod(spoolFile, 0o666)
  await assert.rejects(open({ spoolFile }), /other users can write it/)
  await opened.pop()!.close()
})

test('two verifiers of one server are two holders, and their counts add up', async () => {
  const key = generateSenderKey()
  const two = [await open({ holder: 'left' }), await open({ holder: 'right', kind: 'gateway' })]
  await Promise.all(
    Array.from({ length: 40 }, (_, n) => call(two[n % 2]!, key, n % 4 === 0 ? { wrong: n } : {})),
  )
  for (const verifier of two) await verifier.close()
  assert.deepEqual(await counts(key), { spent: 30, refused: 10 })
  const holders = await desk.ledger.documents!.list('holder', { limit: 1000 })
  const named = holders.map(({ value }) => [
    String(value.id).split('.')[0],
    value.kind,
    value.fresh,
  ])
  assert.ok(named.some((each) => each.join() === 'left,verifier,true'))
  assert.ok(named.some((each) => each.join() === 'right,gateway,true'))
})

test('a name that was cut in the middle of a character does not keep a report out', async () => {
  const key = generateSenderKey()
  const verifier = await open()
  const name = `${'n'.repeat(511)}\u{1f600}`
  const token = rig.mint(rig.claimsFor({ name }, {}, key))
  const { allowed } = await verifier.check(
    rig.request({ token, key, message: rig.callMessage({}, name) }),
  )
  assert.equal(allowed, true)
  await until(async () => (await counts(key)) !== undefined)
})

test('more than one report holds goes out in several, each within its limit', async () => {
  const from = desk.bodies.length
  const verifier = await open({ everyMs: 60_000 })
  const keys = Array.from({ length: 1500 }, () => generateSenderKey())
  for (const key of keys) await call(verifier, key)
  await verifier.close()
  assert.ok(sentSessions(from).size > 2)
  assert.ok(desk.bodies.slice(from).every((body) => body.length <= 256 * 1024))
  for (const key of keys) assert.deepEqual(await counts(key), { spent: 1, refused: 0 })
})

test('a verifier with nothing to tell says that it is there, and what it has heard', async () => {
  await open({ holder: 'idle' })
  const own = async () =>
    (await desk.ledger.documents!.list('holder', { limit: 1000 })).find(({ value }) =>
      String(value.id).startsWith('idle.'),
    )?.value as { heard: Record<string, number>; fresh: boolean } | undefined
  await until(async () => Object.keys((await own())?.heard ?? {}).length === 1)
  const first = Object.values((await own())!.heard)[0]!
  await until(async () => Object.values((await own())!.heard)[0]! > first)
  assert.equal((await own())!.fresh, true)
})

test('a key from a file signs as the file says', async () => {
  const file = join(directory, 'key.json')
  await writeFile(file, JSON.stringify(notes.privateJwk), { mode: 0o600 })
  const key = generateSenderKey()
  const verifier = await open({ key: file })
  await call(verifier, key)
  await until(async () => (await counts(key)) !== undefined)
})

test('a key that is not usable is refused before anything listens, and never quoted', async () => {
  const file = join(directory, 'bad-key.json')
  const good = { ...notes.privateJwk }
  const { d } = good
  const cases: [RegExp, string, number][] = [
    [/is open to other users/, JSON.stringify(good), 0o644],
    [/is not a private JWK/, '{', 0o600],
    [/is not a private JWK/, '[]', 0o600],
    [/is not a private JWK/, JSON.stringify({ ...good, d: undefined }), 0o600],
    [/is not a private JWK/, JSON.stringify({ ...good, crv: 'P-999' }), 0o600],
    [/its alg is not known/, JSON.stringify({ ...good, alg: 'HS256' }), 0o600],
    [/it cannot sign with its alg/, JSON.stringify({ ...good, alg: 'RS256' }), 0o600],
    [/is not a private JWK/, ' '.repeat(20_000), 0o600],
  ]
  for (const [words, text, mode] of cases) {
    await rm(file, { force: true })
    await writeFile(file, text, { mode })
    await assert.rejects(open({ key: file }), (error: Error) => {
      assert.match(error.message, words)
      assert.ok(!JSON.stringify([error.message, String(error.cause)]).includes(String(d)))
      return true
    })
  }
  await assert.rejects(open({ key: join(directory, 'none.json') }), /cannot read the key/)
})

test('options that cannot be right are refused when the verifier is made', () => {
  const { privateKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const wrong: Partial<Record<keyof ReportsOption, unknown>>[] = [
    { clientId: '' },
    { key: rsa },
    { key: publicKey },
    { kind: 'broker' },
    { holder: 'a/b' },
    { holder: '' },
    { everyMs: 0 },
    { url: 'http://broker.example/reports' },
  ]
  for (const change of wrong) {
    const reports = { clientId: 'notes', key: notes.key, ...change } as ReportsOption
    assert.throws(() => createVerifier({ ...scene.options, reports }), TypeError)
  }
})
