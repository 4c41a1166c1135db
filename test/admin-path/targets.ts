/** Every kind of target: who is hit, and who is most like them and goes on. */
import type { Target } from '../../src/revocation/target.ts'
import { newKey } from '../attacks/sender.ts'
import { type Agent, agentOf, type Who } from './agents.ts'
import { BRIEF_RESOURCE, type Place } from './place.ts'

export interface Scene {
  readonly target: Target
  readonly hit: readonly Agent[]
  readonly spared: readonly Agent[]
}

export interface Kind {
  readonly title: string
  /** @param tag names of this run, so that many may run at once */
  scene(place: Place, tag: string): Scene | Promise<Scene>
}

type Make = (who: Who) => Agent

/** The names of one run. */
function namesOf(place: Place, tag: string) {
  const path = `/agents/${tag}/bot`
  return {
    path,
    id: `spiffe://corp.test${path}`,
    make: ((who) => agentOf(place, { path, ...who })) satisfies Make,
  }
}

export const KINDS: readonly Kind[] = [
  {
    title: 'one session: the workload with one key, for one principal',
    scene(place, tag) {
      const { make } = namesOf(place, tag)
      const hit = make({})
      return {
        target: { kind: 'session', value: hit.session },
        hit: [hit],
        spared: [make({}), make({ key: hit.key, user: ['idp', `${tag}-alice`] })],
      }
    },
  },
  {
    title: 'an agent, with every key and for everybody',
    scene(place, tag) {
      const { id, path, make } = namesOf(place, tag)
      return {
        target: { kind: 'agent', value: id },
        hit: [make({}), make({}), make({ user: ['idp', `${tag}-alice`] })],
        spared: [
          make({ path: `${path}-2` }),
          make({ path: `${path}/child` }),
          make({ path, domain: 'lone.test.example' }),
        ],
      }
    },
  },
  {
    title: 'an agent and all beneath its path, and not the sibling that looks alike',
    scene(place, tag) {
      const { id, path, make } = namesOf(place, tag)
      return {
        target: { kind: 'agent', value: id, beneath: true },
        hit: [make({}), make({ path: `${path}/child` }), make({ path: `${path}/child/of-it` })],
        spared: [
          make({ path: `${path}-2` }),
          make({ path: `${path}-2/child` }),
          make({ path: path.slice(0, -1) }),
        ],
      }
    },
  },
  {
    title: 'an agent while it acts for one principal',
    scene(place, tag) {
      const { id, make } = namesOf(place, tag)
      const hit = make({ user: ['idp', `${tag}-alice`] })
      return {
        target: { kind: 'agent', value: id, principal: hit.principal },
        hit: [hit, make({ user: ['idp', `${tag}-alice`] })],
        spared: [
          make({}),
          make({ user: ['idp', `${tag}-alice-2`] }),
          make({ path: `/agents/${tag}/other`, user: ['idp', `${tag}-alice`] }),
        ],
      }
    },
  },
  {
    title: 'a principal, whoever acts for them',
    scene(place, tag) {
      const { make } = namesOf(place, tag)
      const hit = make({ user: ['idp', `${tag}-alice`] })
      return {
        target: { kind: 'principal', value: hit.principal },
        hit: [hit, make({ path: `/agents/${tag}/other`, user: ['idp', `${tag}-alice`] })],
        spared: [
          make({}),
          make({ user: ['idp', `${tag}-alice-2`] }),
          make({ user: ['staff-2', `${tag}-alice`] }),
        ],
      }
    },
  },
  {
    title: 'a task, whoever works on it',
    scene(place, tag) {
      const { make } = namesOf(place, tag)
      return {
        target: { kind: 'task', value: tag },
        hit: [make({ task: tag }), make({ task: tag, path: `/agents/${tag}/other` })],
        spared: [make({ task: `${tag}-2` }), make({ task: tag.toUpperCase() }), make({})],
      }
    },
  },
  {
    title: 'only one key, and the agent goes on with another',
    scene(place, tag) {
      const { make } = namesOf(place, tag)
      const hit = make({})
      return {
        target: { kind: 'key', value: hit.key.jkt },
        hit: [hit, make({ key: hit.key, path: `/agents/${tag}/other` })],
        spared: [make({})],
      }
    },
  },
  {
    title: 'what one agent has handed on to another',
    async scene(place, tag) {
      const { make } = namesOf(place, tag)
      const first = make({ user: ['idp', `${tag}-alice`] })
      const path = `/agents/${tag}/next`
      const handOn = async () => {
        const key = newKey()
        const to = `spiffe://corp.test${path}`
        const { token, jti } = await first.delegate(to, key.jkt, place.brokers[0]!)
        return { jti, next: make({ path, key, delegation: token }) }
      }
      const [one, another] = [await handOn(), await handOn()]
      return {
        target: { kind: 'jti', value: one.jti },
        hit: [one.next],
        spared: [first, another.next],
      }
    },
  },
  {
    title: 'an MCP server, for everybody',
    scene(place, tag) {
      const { make } = namesOf(place, tag)
      return {
        target: { kind: 'server', value: BRIEF_RESOURCE },
        hit: [make({ resource: BRIEF_RESOURCE })],
        spared: [make({})],
      }
    },
  },
  {
    title: 'a trust domain, and not the one whose name begins with its own',
    scene(place, tag) {
      const { make } = namesOf(place, tag)
      return {
        target: { kind: 'issuer', value: 'spiffe://lone.test' },
        hit: [make({ domain: 'lone.test' })],
        spared: [make({ domain: 'lone.test.example' }), make({})],
      }
    },
  },
  {
    title: 'an issuer of workload tokens, by its alias',
    scene(place, tag) {
      const { make } = namesOf(place, tag)
      return {
        target: { kind: 'issuer', value: 'oidc:ci' },
        hit: [make({ job: ['ci', tag] })],
        spared: [make({ job: ['ci-2', tag] }), make({})],
      }
    },
  },
  {
    title: 'an issuer of users, by its alias',
    scene(place, tag) {
      const { make } = namesOf(place, tag)
      return {
        target: { kind: 'issuer', value: 'user:staff' },
        hit: [make({ user: ['staff', tag] })],
        spared: [make({ user: ['staff-2', tag] }), make({})],
      }
    },
  },
]
