/** What is stopped is refused everywhere, what only looks like it goes on, and an undo brings it back. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { canUndo, type Target } from '../../src/revocation/target.ts'
import { type Answer, seconds } from '../attacks/sender.ts'
import type { VerifierProcess } from '../attacks/site.ts'
import { until } from '../support/redis.ts'
import { type Agent, agentOf, lastRefusal, settled, type Token } from './agents.ts'
import type { Door } from './doors.ts'
import type { Place } from './place.ts'
import { KINDS, type Scene } from './targets.ts'

export interface Stage {
  readonly place: Place
  /** By the resource URI of their server. */
  readonly verifiers: ReadonlyMap<string, readonly VerifierProcess[]>
}

/** An agent, and a token of its own for each verifier of its server. */
interface Holding {
  readonly agent: Agent
  readonly tokens: readonly Token[]
  /** Shown nowhere yet. */
  readonly unspent: Token
}

const verifiersOf = ({ verifiers }: Stage, { resource }: Agent) => verifiers.get(resource) ?? []
const kindOf = ({ task }: Agent): Token['kind'] => (task === undefined ? 'session' : 'action')

/** Tokens from all brokers in turn; and they are good. */
async function hold(stage: Stage, agent: Agent): Promise<Holding> {
  const { brokers } = stage.place
  const verifiers = verifiersOf(stage, agent)
  const kind = kindOf(agent)
  const session = kind === 'session' ? await agent.obtain(kind, brokers[0]!) : undefined
  const tokens: Token[] = []
  for (const [n] of verifiers.entries()) {
    tokens.push(session ?? (await agent.obtain(kind, brokers[n % brokers.length]!)))
  }
  const first = session ?? (await agent.obtain(kind, brokers[0]!))
  const { status, text } = await settled(() => agent.show(first, verifiers[0]!))
  assert.equal(status, 200, `${agent.id}: ${text}`)
  return { agent, tokens, unspent: await agent.obtain('action', brokers.at(-1)!) }
}

async function isStopped(
  stage: Stage,
  { agent, tokens, unspent }: Holding,
  kind: Target['kind'],
): Promise<void> {
  for (const [n, verifier] of verifiersOf(stage, agent).entries()) {
    for (const token of [tokens[n]!, unspent]) {
      await until(async () => {
        const { status, text } = await agent.show(token, verifier)
        return status === 401 && /revoked/.test(text)
      })
    }
  }
  for (const broker of stage.place.brokers) {
    await until(async () => (await agent.ask(kindOf(agent), broker)).status === 400)
    const said = await lastRefusal(agent, broker)
    assert.deepEqual(said, { outcome: 'refused', reason: 'revoked', evidence: { target: kind } })
  }
}

/** @param patient whether it may be refused at first, as an undo has to get around */
async function goesOn(stage: Stage, holding: Holding, patient = false): Promise<void> {
  const { agent, tokens, unspent } = holding
  const isAllowed = async (ask: () => Promise<Answer>) => {
    let answer = await ask()
    const isOpen = () => answer.status === 503 || (patient && answer.status !== 200)
    await until(async () => {
      if (isOpen()) answer = await ask()
      return !isOpen()
    }).catch(() => undefined)
    assert.equal(answer.status, 200, `${agent.id} for ${agent.principal}: ${answer.text}`)
  }
  const verifiers = verifiersOf(stage, agent)
  for (const [n, verifier] of verifiers.entries()) {
    await isAllowed(() => agent.show(tokens[n]!, verifier))
  }
  await isAllowed(() => agent.show(unspent, verifiers.at(-1)!))
  for (const broker of stage.place.brokers) {
    await isAllowed(() => agent.ask(kindOf(agent), broker))
  }
}

async function stopAndUndo(stage: Stage, door: Door, { target, hit, spared }: Scene) {
  const held = await Promise.all(hit.map((agent) => hold(stage, agent)))
  const others = await Promise.all(spared.map((agent) => hold(stage, agent)))
  const [made] = await door.revoke([target], 'a test')
  for (const each of held) await isStopped(stage, each, target.kind)
  for (const each of others) await goesOn(stage, each)
  const no = await door.undo(made!.id, 'false alarm')
  if (!canUndo(target)) return assert.match(String(no), CANNOT_UNDO)
  assert.equal(no, undefined)
  for (const each of held) await goesOn(stage, each, true)
}

const CANNOT_UNDO = /^(conflict|refused) .*what was issued cannot be let go again/

/**
 * Declares the tests; what they need is there when they run.
 *
 * @param kinds which kinds of targets are stopped one by one; all when not given
 */
export function testStopping(
  name: string,
  parts: () => { stage: Stage; door: Door },
  kinds = KINDS,
): void {
  const tag = name.replaceAll(' ', '-')
  describe(`stopped by ${name}, refused at every broker and verifier, and brought back`, {
    concurrency: 4,
  }, () => {
    for (const [n, { title, scene }] of kinds.entries()) {
      it(title, async () => {
        const { stage, door } = parts()
        await stopAndUndo(stage, door, await scene(stage.place, `${tag}-${n}`))
      })
    }

    it('one token, which cannot be undone, and the agent goes on with another', async () => {
      const { stage, door } = parts()
      const agent = agentOf(stage.place, { path: `/agents/${tag}/jti` })
      const [one, other] = [await hold(stage, agent), await hold(stage, agent)]
      const [made] = await door.revoke([{ kind: 'jti', value: one.tokens[0]!.jti }], 'a test')
      for (const [n, verifier] of verifiersOf(stage, agent).entries()) {
        await until(async () => /revoked/.test((await agent.show(one.tokens[n]!, verifier)).text))
      }
      await goesOn(stage, other)
      assert.match(String(await door.undo(made!.id, 'false alarm')), CANNOT_UNDO)
    })

    it('many things of many kinds with one request', async () => {
      const { stage, door } = parts()
      const scenes = await Promise.all(
        KINDS.slice(0, MANY).map(({ scene }, n) => scene(stage.place, `${tag}-many-${n}`)),
      )
      const held = await Promise.all(scenes.map(({ hit: [agent] }) => hold(stage, agent!)))
      const others = await Promise.all(scenes.map(({ spared: [agent] }) => hold(stage, agent!)))
      const targets = scenes.map(({ target }) => target)
      const made = await door.revoke(targets, 'a test')
      assert.equal(new Set(made.map(({ id }) => id)).size, targets.length)
      for (const [n, each] of held.entries()) await isStopped(stage, each, targets[n]!.kind)
      for (const each of others) await goesOn(stage, each)
      assert.equal(await door.undo(made[0]!.id, 'false alarm'), undefined)
      await goesOn(stage, held[0]!, true)
      await isStopped(stage, held[1]!, targets[1]!.kind)
    })
  })

  // By itself: whatever was issued before is refused, whoever it belongs to.
  it(`stopped by ${name}: all that was issued before a time, and nothing issued later`, async () => {
    const { stage, door } = parts()
    const agent = agentOf(stage.place, { path: `/agents/${tag}/before` })
    const earlier = await hold(stage, agent)
    const value = Math.ceil(seconds())
    await until(() => seconds() > value)
    const [made] = await door.revoke([{ kind: 'before', value: String(value) }], 'a test')
    const later = await hold(stage, agent)
    for (const [n, verifier] of verifiersOf(stage, agent).entries()) {
      for (const token of [earlier.tokens[n]!, earlier.unspent]) {
        await until(async () => /revoked/.test((await agent.show(token, verifier)).text))
      }
    }
    await goesOn(stage, later)
    assert.match(String(await door.undo(made!.id, 'false alarm')), CANNOT_UNDO)
  })
}

/** So many of the kinds may be stopped at once; the others are everybody's. */
const MANY = 8
