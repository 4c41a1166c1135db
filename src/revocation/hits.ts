import { issuerOf } from './issuer-of.ts'
import type { Subject, Target } from './target.ts'

/** Whether the target names the subject: what `RevokedSet` finds, said about one target. */
export function hits(target: Target, subject: Subject): boolean {
  const { kind, value } = target
  switch (kind) {
    case 'jti':
      return subject.jti === value || isLink(value, subject)
    case 'session':
      return subject.session === value || isLink(value, subject)
    case 'key':
      return subject.key === value || isLink(value, subject)
    case 'agent':
      return hitsAgent(target, subject)
    case 'principal':
      return subject.principal === value
    case 'task':
      return subject.task === value
    case 'server':
      return subject.server === value
    case 'issuer':
      return [subject.principal, ...subject.agents].some((id) => issuerOf(id) === value)
    case 'before':
      return subject.issuedAt !== undefined && subject.issuedAt < Number(value)
  }
}

function isLink(value: string, { links }: Subject): boolean {
  return links?.includes(value) ?? false
}

function hitsAgent({ value, beneath, principal }: Target, subject: Subject): boolean {
  if (principal !== undefined && subject.principal !== principal) return false
  return subject.agents.some(
    (agent) => agent === value || (beneath === true && agent.startsWith(`${value}/`)),
  )
}
