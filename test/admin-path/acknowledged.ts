/** Whether everybody has it: what holders say of themselves, and what is said of those that are cut off. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { VerifierProcess } from '../attacks/site.ts'
import { RESOURCE } from '../attacks/site.ts'
import { until } from '../support/redis.ts'
import { agentOf, settled } from './agents.ts'
import { type Ask, apiDoor, asProgram, command } from './doors.ts'
import type { Place } from './place.ts'
import type { Stage } from './stop.ts'

export interface Far {
  /** Hears the feed through the cable, and reports past it. */
  readonly cut: VerifierProcess
  /** Stopped in its tracks a while ago: it says nothing any more. */
  readonly silent: VerifierProcess
}

export async function startFar(place: Place): Promise<Far> {
  const [cut, silent] = await Promise.all([
    place.startVerifier(RESOURCE, {
      feed: `${place.site.issuer}/revocations`,
      reports: place.reports('cut'),
    }),
    place.startVerifier(RESOURCE, { reports: place.reports('silent') }),
  ])
  await until(async () => (await holdersAt(place)).has('silent'))
  silent.child.kill('SIGSTOP')
  return { cut, silent }
}

interface Holder {
  readonly id: string
  readonly kind: string
  readonly holds?: boolean
  readonly silent: boolean
  readonly fresh: boolean
}

/** As it was configured; each start of a verifier has an id of its own. */
const nameOf = ({ id }: Holder): string => id.replace(/[.].*$/, '')

async function holdersAt(place: Place): Promise<Map<string, Holder>> {
  const { status, json } = await asProgram(
    place,
    place.brokers[0]!,
    'viewer',
    'writ:viewer',
  )('GET', '/v1/holders')
  assert.equal(status, 200)
  return new Map((json.items as unknown as Holder[]).map((holder) => [nameOf(holder), holder]))
}

interface Detail {
  readonly holding: number
  readonly all: number
  readonly items: readonly Holder[]
}

async function detailOf(ask: Ask, id: string): Promise<Detail> {
  const { status, json } = await ask('GET', `/v1/revocations/${id}`)
  assert.equal(status, 200)
  return json.holders as unknown as Detail
}

/** @param reporting names of the verifiers that report, besides those far away */
export function testAcknowledged(
  parts: () => { stage: Stage; far: Far },
  reporting: string[],
): void {
  describe('an admin sees who has it', () => {
    it('all brokers and verifiers have it; who is cut off has not, until it hears again', async () => {
      const { stage, far } = parts()
      const { place } = stage
      const ask = asProgram(place, place.brokers.at(-1)!, 'ops')
      const door = apiDoor('a program', ask)
      const agent = agentOf(place, { path: '/agents/acknowledged' })
      const token = await agent.obtain('session', place.brokers[0]!)
      await until(async () => (await holdersAt(place)).get('cut')?.fresh === true)

      const [first] = await door.revoke([{ kind: 'task', value: 'while-all-is-well' }], 'a test')
      const brokers = place.brokers.length
      await until(async () => {
        const { holding, all } = await detailOf(ask, first!.id)
        return holding === all && all === brokers + reporting.length + 1
      })
      const { items } = await detailOf(ask, first!.id)
      assert.equal(items.filter(({ kind, holds }) => kind === 'broker' && holds).length, brokers)
      for (const name of [...reporting, 'cut']) {
        assert.equal(items.find((each) => nameOf(each) === name)?.holds, true, name)
      }

      place.cable!.freeze()
      await until(async () => (await holdersAt(place)).get('cut')?.fresh === false)
      const [made] = await door.revoke([{ kind: 'agent', value: agent.id }], 'a test')
      await until(async () => {
        const { holding, all } = await detailOf(ask, made!.id)
        return holding === brokers + reporting.length && all === holding + 1
      })
      const cut = (await detailOf(ask, made!.id)).items.find((each) => nameOf(each) === 'cut')
      assert.deepEqual([cut?.holds, cut?.fresh, cut?.silent], [false, false, false])
      // It has not heard, and so lets nobody through.
      assert.equal((await agent.show(token, far.cut)).status, 503)

      place.cable!.thaw()
      await until(async () => {
        const { holding, all } = await detailOf(ask, made!.id)
        return holding === all
      })
      const { status, text } = await settled(() => agent.show(token, far.cut))
      assert.equal(status, 401)
      assert.match(text, /revoked/)
    })

    it('who says nothing any more is shown as silent, and not as having it', async () => {
      const { stage } = parts()
      const { place } = stage
      await until(async () => (await holdersAt(place)).get('silent')?.silent === true)
      const ask = asProgram(place, place.brokers[0]!, 'ops')
      const [made] = await apiDoor('', ask).revoke([{ kind: 'task', value: 'unheard' }], 'a test')
      const held = await detailOf(ask, made!.id)
      const silent = held.items.find((each) => nameOf(each) === 'silent')
      assert.deepEqual([silent?.silent, silent?.holds], [true, false])
      const status = await command(place, place.brokers[0]!)('status', '--json')
      assert.equal(status.code, 1, status.stdout)
      const { problems } = status.json() as { problems: string[] }
      assert.equal(problems.length, 1)
      assert.match(problems[0]!, /^verifier silent\S* of \S+ is silent; /)
    })

    it('writ revoke --wait ends when all have it', async () => {
      const { place } = parts().stage
      const run = command(place, place.brokers[0]!)
      const ended = await run('revoke', 'task:waited-for', '--wait', '--json')
      assert.equal(ended.code, 0, ended.stdout + ended.stderr)
      const { holding, all, missing } = ended.json().holders as Record<string, unknown>
      assert.deepEqual([holding, missing], [all, []])
    })
  })
}
