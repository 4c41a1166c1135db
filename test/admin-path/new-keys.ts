/** Real agents, and what it helps them to make a new key. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Agent } from '../../src/agent/agent.ts'
import { createAgent, WritError } from '../../src/agent/index.ts'
import { callBody, MCP_HEADERS } from '../attacks/sender.ts'
import { until } from '../support/redis.ts'
import { apiDoor, asProgram, commandDoor } from './doors.ts'
import type { Place } from './place.ts'

export function testNewKeys(parts: () => Place): void {
  describe('a new key', () => {
    const agentAt = (path: string): Agent =>
      createAgent({ broker: parts().site.issuer, identity: () => parts().svid(path) })
    const { host: _, ...headers } = MCP_HEADERS
    const call = async (agent: Agent): Promise<number> => {
      const body = callBody()
      const answer = await agent.fetch(parts().liveResource, { method: 'POST', headers, body })
      await answer.body?.cancel()
      return answer.status
    }
    const isRefused = async (agent: Agent) => {
      const error = await call(agent).catch((thrown: unknown) => thrown)
      return error instanceof WritError && error.code === 'token_refused'
    }

    it('does not help an agent that was stopped, until it is let go', async () => {
      const path = '/agents/keys/stopped'
      const [agent, sibling] = [agentAt(path), agentAt(`${path}-not`)]
      assert.deepEqual([await call(agent), await call(sibling)], [200, 200])
      const door = commandDoor(parts(), parts().brokers.at(-1)!)
      const value = `spiffe://corp.test${path}`
      const [made] = await door.revoke([{ kind: 'agent', value, principal: value }], 'a test')
      await until(() => isRefused(agent))
      for (let n = 0; n < 3; n++) assert.ok(await isRefused(agentAt(path)), 'with a new key')
      assert.equal(await call(sibling), 200)
      assert.equal(await door.undo(made!.id, 'false alarm'), undefined)
      await until(async () => (await call(agent)) === 200)
    })

    it('lets the agent go on when only its key was stopped', async () => {
      const path = '/agents/keys/only'
      const agent = agentAt(path)
      assert.equal(await call(agent), 200)
      const door = apiDoor('a program', asProgram(parts(), parts().brokers.at(-1)!, 'ops'))
      await door.revoke([{ kind: 'key', value: agent.thumbprint }], 'a test')
      await until(() => isRefused(agent))
      assert.equal(await call(agentAt(path)), 200)
      assert.ok(await isRefused(agent))
    })
  })
}
