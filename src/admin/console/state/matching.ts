import type { Session } from '../api/types.ts'

/** What the table of sessions is narrowed to; empty text is no condition. */
export interface Filter {
  readonly text: string
  readonly state: '' | Session['state']
  readonly workload: string
  readonly principal: string
  readonly server: string
  readonly task: string
  /** Seen within this many seconds; `all` for all that is kept. */
  readonly within: string
}

export const NO_FILTER: Filter = {
  text: '',
  state: '',
  workload: '',
  principal: '',
  server: '',
  task: '',
  within: '86400',
}

export type Column = 'lastSeen' | 'firstSeen' | 'workload' | 'issued' | 'spent' | 'refused'

export interface Order {
  readonly by: Column
  readonly down: boolean
}

const haystacks = new WeakMap<Session, string>()

/** Everything a person may look for, in one text; made once for each state of a session. */
function haystackOf(session: Session): string {
  let text = haystacks.get(session)
  if (text === undefined) {
    const { id, workload, principal, actors, key, address, task, servers, lastAction } = session
    const words = [id, workload, principal, ...actors, key, address, task, ...servers]
    text = [...words, lastAction?.name, lastAction?.reason].join('\n').toLowerCase()
    haystacks.set(session, text)
  }
  return text
}

/** What was live when the broker said so may be idle by now. */
export function stateAt(session: Session, now: number): Session['state'] {
  return session.state === 'live' && session.tokensUntil <= now ? 'idle' : session.state
}

/** Each word of the text somewhere, every other condition as part of its own field. */
export function matching(sessions: readonly Session[], filter: Filter, now: number): Session[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean)
  const [workload, principal, server, task] = [
    filter.workload,
    filter.principal,
    filter.server,
    filter.task,
  ].map((text) => text.trim().toLowerCase()) as [string, string, string, string]
  // No number, so that nothing is too long ago, for `all`.
  const since = now - Number(filter.within)
  return sessions.filter(
    (session) =>
      !(session.lastSeen < since) &&
      (filter.state === '' || stateAt(session, now) === filter.state) &&
      (workload === '' ||
        session.workload.toLowerCase().includes(workload) ||
        session.actors.some((actor) => actor.toLowerCase().includes(workload))) &&
      (principal === '' || session.principal.toLowerCase().includes(principal)) &&
      (server === '' || session.servers.some((each) => each.toLowerCase().includes(server))) &&
      (task === '' || (session.task ?? '').toLowerCase().includes(task)) &&
      words.every((word) => haystackOf(session).includes(word)),
  )
}

export function sorted(sessions: readonly Session[], { by, down }: Order): Session[] {
  const sign = down ? -1 : 1
  return [...sessions].sort((a, b) => {
    const [x, y] = [a[by], b[by]]
    if (x !== y) return x < y ? -sign : sign
    return a.id < b.id ? 1 : -1
  })
}
