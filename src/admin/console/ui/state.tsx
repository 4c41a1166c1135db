import type { ComponentChildren } from 'preact'
import type { ApiProblem } from '../api/client.ts'
import type { Revocation, Session } from '../api/types.ts'
import { Icon } from './icon.tsx'

const SESSION = {
  live: ['good dot', 'A token may still be good'],
  idle: ['dot', 'No token is good any more'],
  stopped: ['bad dot', 'A revocation hits it'],
} as const

export function SessionState({ state }: { state: Session['state'] }) {
  const [look, title] = SESSION[state]
  return (
    <span class={`chip ${look}`} title={title}>
      {state}
    </span>
  )
}

const REVOCATION = { live: 'bad dot', ended: 'dot', undone: 'warn dot' } as const

export function RevocationState({ state }: { state: Revocation['state'] }) {
  return <span class={`chip ${REVOCATION[state]}`}>{state === 'live' ? 'in force' : state}</span>
}

export function Outcome({ outcome }: { outcome: string }) {
  const look =
    outcome === 'refused' ? 'bad' : outcome === 'spent' || outcome === 'allowed' ? 'good' : ''
  return <span class={`chip ${look}`}>{outcome}</span>
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <b>{title}</b>
      {children !== undefined && <p>{children}</p>}
    </div>
  )
}

export function Loading({ what }: { what: string }) {
  return (
    <div class="loading" role="status">
      <span class="hidden">Loading {what} …</span>
      <i />
      <i />
      <i />
    </div>
  )
}

const NEXT: Readonly<Record<string, string>> = {
  unreachable: 'Nothing was lost. Try again once the broker answers.',
  cut_off: 'Look whether it was done. The same again is done once.',
  signin_required: 'Sign in again.',
  role_insufficient: 'Ask an admin to do it, or to give you the role for it.',
  touch_required: 'Try again and touch your passkey when the browser asks.',
  page_refused: 'Reload the page and try again.',
  last_admin: 'Make somebody else an admin first.',
  conflict: 'Reload to see how it is now.',
  too_many_requests: 'Wait a moment, then try again.',
  ledger_unavailable: 'The broker cannot reach its store. Look at Health.',
}

/** What went wrong and what to do about it. */
export function ProblemNote({ problem, retry }: { problem: ApiProblem; retry?: () => void }) {
  return (
    <div class="notice bad" role="alert">
      <Icon name="warning" size={20} />
      <b>{problem.message}</b>
      {problem.detail !== undefined && <span class="wrap">{problem.detail}</span>}
      {NEXT[problem.code] !== undefined && <span>{NEXT[problem.code]}</span>}
      {retry !== undefined && (
        <div>
          <button type="button" class="button slim" onClick={retry}>
            Try again
          </button>
        </div>
      )}
    </div>
  )
}

export function Notice({
  kind,
  title,
  children,
}: {
  kind: 'warn' | 'good' | 'bad' | ''
  title: string
  children?: ComponentChildren
}) {
  return (
    <div class={`notice ${kind}`}>
      <Icon name={kind === 'good' ? 'check' : kind === '' ? 'question' : 'warning'} size={20} />
      <b>{title}</b>
      {children !== undefined && <span>{children}</span>}
    </div>
  )
}
