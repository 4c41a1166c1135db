import type { Session, Target } from '../api/types.ts'
import { counted, shortId } from '../ui/text.ts'
import { distinct } from './typed.ts'

/** One of the ways to stop what was selected, narrowest harm first in mind: an agent as such. */
export interface Scope {
  readonly id: string
  readonly title: string
  readonly says: string
  readonly targets: readonly Target[]
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

/** Only what hits every one of the sessions. */
function wider(sessions: readonly Session[]): Scope[] {
  const found: Scope[] = []
  const tasks = distinct(
    sessions.flatMap(({ task }) => (task === undefined ? [] : { kind: 'task', value: task })),
  )
  if (sessions.every(({ task }) => task !== undefined)) {
    found.push({
      id: 'task',
      title: `Everything in ${named(tasks, 'task')}`,
      says: 'Every agent that works on it.',
      targets: tasks,
    })
  }
  if (sessions.every(({ workload, principal }) => workload !== principal)) {
    const principals = distinct(
      sessions.map(({ principal }) => ({ kind: 'principal', value: principal })),
    )
    found.push({
      id: 'principal',
      title: `Everything for ${named(principals, 'principal')}`,
      says: 'Every agent that acts for them.',
      targets: principals,
    })
  }
  if (sessions.every(({ workload }) => workload.startsWith('spiffe://'))) {
    const paths = distinct(
      sessions.map(({ workload }) => ({ kind: 'agent', value: workload, beneath: true })),
    )
    const [first] = paths
    found.push({
      id: 'beneath',
      title:
        paths.length === 1
          ? 'This agent and everything beneath it'
          : `These ${paths.length} agents and everything beneath them`,
      says:
        paths.length === 1
          ? `Every id that begins with ${first?.value}/.`
          : 'Every id that begins with one of theirs and a slash.',
      targets: paths,
    })
  }
  return found
}

function named(targets: readonly Target[], kind: string): string {
  const [first] = targets
  return targets.length === 1 && first !== undefined
    ? `${kind === 'task' ? 'task ' : ''}${first.value}`
    : `these ${counted(targets.length, kind)}`
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
