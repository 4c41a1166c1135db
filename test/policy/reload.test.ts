import assert from 'node:assert/strict'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cedar, loadCedar } from '../../src/policy/cedar.ts'
import { openPolicies, type Policies } from '../../src/policy/engine.ts'
import { Refusal } from '../../src/refusal.ts'
import { call, catalogueWith } from '../catalogue/pins.ts'
import { folderWith, open, question, workload } from './open.ts'

const catalogue = catalogueWith({
  tool: [{ name: 'a', inputSchema: { type: 'object', properties: { n: { type: 'integer' } } } }],
})
const PERMIT = 'permit (principal, action, resource);'
const READS =
  'permit (principal, action == desk::Action::"a", resource) when { context.input has n && context.input.n > 0 };'
const BAD = 'permit (principal, action == desk::Action::"b", resource);'
const KILLER = `permit (principal, action, resource) when { ${'('.repeat(1000)}true${')'.repeat(1000)} };`
const ask = (policies: Policies, n = 1) =>
  policies.decide(question(catalogue, call('a', { n }))).effect

function refused(policies: Policies, n = 1): boolean {
  try {
    ask(policies, n)
    return false
  } catch (error) {
    assert.ok(error instanceof Refusal && error.reason.code === 'policy_unavailable')
    return true
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 1000 && !condition(); round++) await sleep(20)
  assert.ok(condition(), 'it never happened')
}

test('policies that do not load at the start are an error that lists the problems', async (t) => {
  const cases: readonly [Record<string, string>, RegExp][] = [
    [{}, /no \*\.cedar file/],
    [{ 'a.txt': PERMIT }, /no \*\.cedar file/],
    [{ 'a.cedar': BAD, 'b.cedar': 'permit' }, /a\.cedar:1[\s\S]*b\.cedar:1|b\.cedar:1/],
    [{ 'a.cedar': KILLER }, /a\.cedar: the policy engine died/],
  ]
  for (const [files, words] of cases) {
    const directory = await folderWith(t, files)
    await assert.rejects(openPolicies({ directory, catalogue }), words)
  }
  await assert.rejects(openPolicies({ directory: '/nowhere', catalogue }), /ENOENT/)
})

test('a good new version serves, a bad one leaves the old one serving and says so', async (t) => {
  const problems: string[] = []
  const versions: string[] = []
  const { policies, directory } = await open(t, catalogue, PERMIT, {
    onProblem: (each) => problems.push(...each),
    onReload: (version) => versions.push(version),
  })
  const first = policies.version
  for (const text of [BAD, KILLER, 'permit (', `@lifetime("x") ${PERMIT}`]) {
    problems.length = 0
    await writeFile(join(directory, 'test.cedar'), text)
    const answer = await policies.reload()
    assert.ok(!answer.ok && answer.problems.length > 0)
    assert.deepEqual(problems, answer.problems)
    assert.equal(policies.version, first)
    assert.equal(ask(policies), 'permit')
  }
  await writeFile(join(directory, 'test.cedar'), READS)
  const answer = await policies.reload()
  assert.deepEqual(answer, { ok: true, version: policies.version })
  assert.notEqual(policies.version, first)
  assert.equal(ask(policies, 1), 'permit')
  assert.equal(ask(policies, 0), 'deny')
  assert.deepEqual(versions, [first, policies.version])
})

test('a change in the directory serves by itself, and a problem is said once', async (t) => {
  const problems: string[] = []
  const { policies, directory } = await open(t, catalogue, PERMIT, {
    pollMs: 10,
    onProblem: (each) => problems.push(...each),
  })
  await writeFile(join(directory, 'more.cedar'), 'forbid (principal, action, resource);')
  await until(() => ask(policies) === 'deny')
  await rm(join(directory, 'more.cedar'))
  await until(() => ask(policies) === 'permit')
  await writeFile(join(directory, 'more.new'), BAD)
  await rename(join(directory, 'more.new'), join(directory, 'more.cedar'))
  await until(() => problems.length > 0)
  await sleep(200)
  assert.equal(problems.length, 1, problems.join('; '))
  assert.equal(ask(policies), 'permit')
})

test('a forbid is not lost while its file is being written', async (t) => {
  const FORBID = 'forbid (principal, action, resource);'
  const problems: string[] = []
  const versions: string[] = []
  const { policies, directory } = await open(t, catalogue, PERMIT, {
    pollMs: 200,
    onProblem: (each) => problems.push(...each),
    onReload: (version) => versions.push(version),
  })
  const file = join(directory, 'z.cedar')
  await writeFile(file, FORBID)
  assert.equal((await policies.reload()).ok, true)
  assert.equal(ask(policies), 'deny')
  // Emptied, then filled policy by policy: each state by itself would load.
  await writeFile(file, '')
  const answer = await policies.reload()
  assert.ok(!answer.ok && /z\.cedar is empty/.test(answer.problems.join()))
  for (let i = 0; i < 15; i++) {
    await writeFile(file, `${PERMIT}\n`.repeat(i + 1))
    await sleep(50)
    assert.equal(ask(policies), 'deny')
  }
  await writeFile(file, `${PERMIT}\n${FORBID}`)
  await until(() => versions.length === 3)
  assert.equal(ask(policies), 'deny')
})

test('a directory that vanishes leaves the old version serving', async (t) => {
  const problems: string[] = []
  const { policies, directory } = await open(t, catalogue, PERMIT, {
    pollMs: 10,
    onProblem: (each) => problems.push(...each),
  })
  await rm(directory, { recursive: true })
  await until(() => problems.length > 0)
  assert.equal(ask(policies), 'permit')
  await mkdir(directory)
})

test('a new catalogue is checked against, and refused when the policies do not fit it', async (t) => {
  const { policies } = await open(t, catalogue, READS)
  const other = catalogueWith({ tool: [{ name: 'z', inputSchema: { type: 'object' } }] })
  assert.equal((await policies.reload(other)).ok, false)
  assert.equal(ask(policies), 'permit')
  const more = catalogueWith({
    tool: [
      { name: 'a', inputSchema: { type: 'object', properties: { n: { type: 'integer' } } } },
      { name: 'z', inputSchema: { type: 'object' } },
    ],
  })
  assert.equal((await policies.reload(more)).ok, true)
  assert.equal(policies.decide(question(more, call('z'))).effect, 'deny')
})

test('every decision during reloads is of one version or the other', async (t) => {
  const { policies, directory } = await open(t, catalogue, PERMIT)
  const effects = new Map([[policies.version, 'permit']])
  let reloading = true
  const reloads = (async () => {
    for (const text of [READS, PERMIT, BAD, READS]) {
      await writeFile(join(directory, 'test.cedar'), text)
      const answer = await policies.reload()
      if (answer.ok) effects.set(answer.version, text === READS ? 'deny' : 'permit')
    }
    reloading = false
  })()
  const seen: { version: string; effect: string }[] = []
  while (reloading) {
    for (let n = 0; n < 50; n++)
      seen.push(policies.decide(question(catalogue, call('a', { n: -n }))))
    await sleep(1)
  }
  await reloads
  assert.ok(seen.length > 100)
  for (const { version, effect } of seen) assert.equal(effect, effects.get(version))
})

/** An engine whose decisions can be made to trap, as a fault in WebAssembly does. */
function fragile() {
  const state = { broken: false, made: 0 }
  const loadEngine = (): Cedar => {
    state.made++
    state.broken = false
    const cedar = loadCedar()
    return {
      ...cedar,
      statefulIsAuthorized: (request) => {
        if (state.broken) throw new Error('memory access out of bounds')
        return cedar.statefulIsAuthorized(request)
      },
    }
  }
  return { state, loadEngine }
}

test('an engine that throws is not asked again: all is refused until a new one serves, by itself', async (t) => {
  const { state, loadEngine } = fragile()
  const problems: string[] = []
  const { policies } = await open(t, catalogue, READS, {
    loadEngine,
    onProblem: (each) => problems.push(...each),
  })
  assert.equal(ask(policies), 'permit')
  state.broken = true
  assert.ok(refused(policies, 2))
  state.broken = false
  assert.ok(refused(policies, 1), 'what was remembered is refused as well')
  assert.match(problems.join(), /the policy engine failed: memory access/)
  await until(() => !refused(policies, 3))
  assert.equal(state.made, 2)
})

test('an engine is replaced even when the directory holds nothing good by then', async (t) => {
  const { state, loadEngine } = fragile()
  const { policies, directory } = await open(t, catalogue, READS, { loadEngine })
  const version = policies.version
  await writeFile(join(directory, 'test.cedar'), BAD)
  state.broken = true
  assert.ok(refused(policies, 2))
  await until(() => !refused(policies, 3))
  assert.equal(policies.version, version)
})

test('after close nothing is decided', async (t) => {
  const { policies } = await open(t, catalogue, PERMIT)
  await policies.close()
  assert.ok(refused(policies))
  assert.equal((await policies.reload()).ok, false)
})

test('of five hundred policies only those about the question reach the engine', async (t) => {
  const tools = Array.from({ length: 25 }, (_, i) => ({
    name: `tool_${i}`,
    inputSchema: { type: 'object', properties: { n: { type: 'integer' } } },
  }))
  const large = catalogueWith({ tool: tools })
  const text = Array.from({ length: 500 }, (_, i) => {
    const when = ` when { context.input has n && context.input.n == ${i} }`
    return `permit (principal == Workload::"spiffe://corp.example/a${i % 20}", action == desk::Action::"tool_${Math.floor(i / 20)}", resource)${when};`
  }).join('\n')
  let most = 0
  const loadEngine = (): Cedar => {
    const cedar = loadCedar()
    return {
      ...cedar,
      preparsePolicySet: (id, policies) => {
        most = Math.max(most, Object.keys(policies.staticPolicies ?? {}).length)
        return cedar.preparsePolicySet(id, policies)
      },
    }
  }
  const { policies } = await open(t, large, text, { loadEngine })
  for (let i = 0; i < 500; i++) {
    const who = workload(`spiffe://corp.example/a${i % 20}`)
    const decide = (n: number) =>
      policies.decide(question(large, call(`tool_${Math.floor(i / 20)}`, { n }), { workload: who }))
    assert.deepEqual(decide(i).policies, [`test.cedar#${i + 1}`])
    assert.equal(decide(i + 1).effect, 'deny')
  }
  assert.equal(most, 1)
})

test('more slices than the engine has places are all decided rightly', async (t) => {
  const tools = Array.from({ length: 530 }, (_, i) => ({
    name: `tool_${i}`,
    inputSchema: { type: 'object', properties: { n: { type: 'integer' } } },
  }))
  const large = catalogueWith({ tool: tools })
  const text = tools
    .map(
      (tool, i) =>
        `permit (principal, action == desk::Action::"${tool.name}", resource) when { context.input has n && context.input.n == ${i} };`,
    )
    .join('\n')
  const { policies } = await open(t, large, text)
  for (const round of [0, 1]) {
    for (let i = 0; i < (round === 0 ? 530 : 40); i++) {
      const decide = (n: number) =>
        policies.decide(question(large, call(`tool_${i}`, { n }))).effect
      assert.equal(decide(i), 'permit')
      assert.equal(decide(1000 + i + round), 'deny')
    }
  }
})
