/** What agents really did is what an admin sees of their sessions. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { callBody, MCP_HEADERS, proofFor, send } from '../attacks/sender.ts'
import { RESOURCE } from '../attacks/site.ts'
import { collect, start } from '../cli/writ.ts'
import { until } from '../support/redis.ts'
import { type Agent, agentOf } from './agents.ts'
import { command, onSocket } from './doors.ts'
import { BRIEF_RESOURCE } from './place.ts'
import type { Stage } from './stop.ts'

interface Seen {
  readonly id: string
  readonly state: string
  readonly issued: number
  readonly spent: number
  readonly refused: number
  readonly stoppedBy: string[]
  readonly [member: string]: unknown
}

/** One of their tokens, shown with its action or with another one. */
async function use(agent: Agent, stage: Stage, args: { title: string }): Promise<number> {
  const { place, verifiers } = stage
  const { token } = await agent.obtain('action', place.brokers[0]!)
  const headers = {
    ...MCP_HEADERS,
    authorization: `DPoP ${token}`,
    dpop: proofFor(agent.key, agent.resource, { accessToken: token }),
  }
  const port = verifiers.get(agent.resource)![0]!.port
  return (await send(port, new URL(agent.resource).pathname, headers, callBody(args))).status
}

export function testSessions(parts: () => Stage): void {
  describe('sessions are as agents made them', () => {
    const here = () => parts().place.brokers[0]!
    const there = () => parts().place.brokers.at(-1)!
    const json = async (...args: string[]) => {
      const ended = await command(parts().place, here())(...args)
      assert.equal(ended.code, 0, ended.stdout + ended.stderr)
      return ended.json()
    }
    const bot = '/agents/seen/bot'
    let agent: Agent

    it('what was issued, spent and refused, and the last of it, with who, where and why', async () => {
      const stage = parts()
      const user = ['idp', 'seen-alice'] as const
      agent = agentOf(stage.place, { path: bot, user, task: 'seen-task' })
      for (let n = 0; n < 2; n++) assert.equal(await use(agent, stage, { title: 'hello' }), 200)
      assert.notEqual(await use(agent, stage, { title: 'another' }), 200)
      // The broker's no counts as well; it is the other broker's.
      const brief = agentOf(stage.place, {
        ...{ path: bot, user, task: 'seen-task', key: agent.key },
        resource: 'https://nowhere.test/mcp',
      })
      assert.equal((await brief.ask('action', there())).status, 400)
      // Somebody who looks alike, at another server.
      const other = agentOf(stage.place, { path: `${bot}-2`, resource: BRIEF_RESOURCE })
      assert.equal(await use(other, stage, { title: 'hello' }), 200)

      const list = async () =>
        (await json('sessions', 'list', '--json', '--workload', agent.id)).items as Seen[]
      await until(async () => {
        const [found] = await list()
        return found?.issued === 3 && found.spent === 2 && found.refused === 2
      })
      const [found, ...more] = await list()
      assert.deepEqual(more, [])
      const { id, workload, principal, actors, key, address, task, servers, state } = found!
      assert.deepEqual(
        { id, workload, principal, actors, key, address, task, servers, state },
        {
          ...{ id: agent.session, workload: agent.id, principal: 'user:idp:seen-alice' },
          ...{ actors: [agent.id], key: agent.key.jkt, address: '127.0.0.1' },
          ...{ task: 'seen-task', servers: [RESOURCE], state: 'live' },
        },
      )
      const { kind, issuer } = found!.identity as Record<string, unknown>
      assert.deepEqual([kind, issuer], ['spiffe', 'corp.test'])

      const shown = (await json('sessions', 'show', '--json', '--', agent.session)).session as Seen
      const actions = shown.actions as Record<string, unknown>[]
      const told = actions.map(({ outcome, name, reason, by }) => [
        outcome,
        name,
        reason,
        typeof by,
      ])
      const count = (outcome: string) => told.filter(([each]) => each === outcome).length
      assert.deepEqual(['issued', 'spent', 'refused'].map(count), [3, 2, 2])
      const reasons = actions.map(({ reason }) => reason).filter((each) => each !== undefined)
      assert.deepEqual(new Set(reasons), new Set(['action_mismatch', 'server_unknown']))
      assert.ok(actions.every((each) => each.arguments === undefined))
      const newest = Math.max(...actions.map(({ at }) => Number(at)))
      assert.equal((shown.lastAction as Record<string, unknown>).at, newest)
    })

    it('each filter finds it, and nothing else', async () => {
      const filters: Record<string, readonly [string, string]> = {
        workload: [agent.id, `${agent.id}-3`],
        beneath: ['spiffe://corp.test/agents/seen/bot', 'spiffe://corp.test/agents/seen/bo'],
        principal: [agent.principal, `${agent.principal}-2`],
        server: [RESOURCE, 'https://nowhere.test/mcp'],
        task: ['seen-task', 'seen-tas'],
        address: ['127.0.0.1', '127.0.0.2'],
        state: ['live', 'idle'],
        text: ['SEEN-ALICE', 'seen-mallory'],
        since: [
          String(Math.floor(Date.now() / 1000) - 600),
          String(Math.ceil(Date.now() / 1000) + 60),
        ],
      }
      for (const [name, [right, wrong]] of Object.entries(filters)) {
        for (const [value, wanted] of [
          [right, true],
          [wrong, false],
        ] as const) {
          const query = new URLSearchParams({ [name]: value, limit: '200' })
          const { status, json: page } = await onSocket(there())('GET', `/v1/sessions?${query}`)
          assert.equal(status, 200)
          const ids = (page.items as { id: string }[]).map(({ id }) => id)
          assert.equal(ids.includes(agent.session), wanted, `${name}=${value}`)
        }
      }
      const beneath = (await json('sessions', 'list', '--json', '--beneath', agent.id))
        .items as Seen[]
      assert.deepEqual(
        beneath.map(({ id }) => id),
        [agent.session],
      )
    })

    it('who watches is told of a new session, and of its stop', async () => {
      const { place } = parts()
      const { config } = there()
      const env = { WRIT_CONFIG: config, XDG_CONFIG_HOME: '/nonexistent' }
      const watch = start(['sessions', 'watch', '--json'], { cwd: place.site.directory, env })
      try {
        const ended = once(watch, 'exit')
        const output = collect(watch)
        const told = (id: string) =>
          output()
            .stdout.split('\n')
            .slice(0, -1)
            .map((line) => JSON.parse(line).session as Seen)
            .filter((session) => session.id === id)
        await until(() => output().stdout !== '')
        const fresh = agentOf(place, { path: '/agents/seen/fresh' })
        assert.deepEqual(told(fresh.session), [])
        await fresh.obtain('session', here())
        await until(() => told(fresh.session).at(-1)?.state === 'live')
        const ask = onSocket(here())
        const stop = { targets: [{ kind: 'agent', value: fresh.id }], reason: 'a test' }
        const made = await ask('POST', '/v1/revocations', stop, { 'idempotency-key': 'watched' })
        assert.equal(made.status, 201)
        await until(() => told(fresh.session).at(-1)?.state === 'stopped')
        const [{ id }] = made.json.items as [{ id: string }]
        assert.deepEqual(told(fresh.session).at(-1)?.stoppedBy, [id])
        watch.kill('SIGINT')
        assert.deepEqual(await ended, [0, null])
      } finally {
        watch.kill('SIGKILL')
      }
    })
  })
}
