import type { Session, Target } from '../api/types.ts'
import { counted, shortId } from '../ui/text.ts'

/** One of the ways to stop what was selected, narrowest harm first in mind: an agent as such. */
export interface Scope {
  readonly id: string
  readonly title: string
  readonly says: string
  readonly targets: readonly Target[]
}

function distinct(targets: readonly Target[]): Target[] {
  const seen = new Map(targets.map((target) => [JSON.stringify(target), target]))
  return [...seen.values()]
}

/** The first is the default: a new key does not let an agent that misbehaves come back. */
export function scopesOf(sessions: readonly Session[]): Scope[] {
  const one = sessions.length === 1
  const workloads = new Set(sessions.map(({ workload }) => workload))
  const agents = workloads.size === 1 ? 'this agent' : `these ${workloads.size} agents`
  const [first] = sessions
  const whom = one && first !== undefined ? shortId(first.principal).name : 'the same principals'
  const acting = sessions.some(({ workload, principal }) => workload !== principal)
  const scopes: Scope[] = [
    {
      id: 'agent',
      title: acting ? `${capital(agents)}, acting for ${whom}` : capital(agents),
      says: 'Also with a new key: no token until this is undone or ends.',
      targets: distinct(sessions.map(agentOf)),
    },
  ]
  if (acting) {
    scopes.push({
      id: 'agent-all',
      title: `${capital(agents)}, whoever ${one ? 'it acts' : 'they act'} for`,
      says: 'Also with a new key, and for every principal.',
      targets: distinct(sessions.map(({ workload }) => ({ kind: 'agent', value: workload }))),
    })
  }
  const keys = distinct(sessions.map(({ key }) => ({ kind: 'key', value: key })))
  scopes.push({
    id: 'key',
    title: keys.length === 1 ? 'Only this key' : `Only these ${counted(keys.length, 'key')}`,
    says: 'An agent that makes a new key goes on.',
    targets: keys,
  })
  scopes.push(...wider(sessions))
  return scopes
}

/**
 * One that acts for itself is stopped whoever it acts for next; one that acts for somebody is stopped
 * for them, and the dialog offers the rest.
 */
function agentOf({ workload, principal }: Session): Target {
  const agent: Target = { kind: 'agent', value: workload }
  return workload === principal ? agent : { ...agent, principal }
}

function wider(sessions: readonly Session[]): Scope[] {
  const [first] = sessions
  if (first === undefined || sessions.length > 1) return []
  const found: Scope[] = []
  if (first.task !== undefined) {
    found.push({
      id: 'task',
      title: `Everything in task ${first.task}`,
      says: 'Every agent that works on it.',
      targets: [{ kind: 'task', value: first.task }],
    })
  }
  if (first.principal !== first.workload) {
    found.push({
      id: 'principal',
      title: `Everything for ${first.principal}`,
      says: 'Every agent that acts for this principal.',
      targets: [{ kind: 'principal', value: first.principal }],
    })
  }
  if (first.workload.startsWith('spiffe://')) {
    found.push({
      id: 'beneath',
      title: 'This agent and everything beneath it',
      says: `Every id that begins with ${first.workload}/.`,
      targets: [{ kind: 'agent', value: first.workload, beneath: true }],
    })
  }
  return found
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
