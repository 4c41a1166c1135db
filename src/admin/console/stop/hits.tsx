import { useEffect, useState } from 'preact/hooks'
import { ApiProblem, ask } from '../api/client.ts'
import { onEvent } from '../api/events.ts'
import type { Preview, Target } from '../api/types.ts'
import { Notice, ProblemNote } from '../ui/state.tsx'
import { counted, shortId, shortServer } from '../ui/text.ts'
import { targetText } from './target-text.ts'

const AFTER_MS = 200
const AGAIN_MS = 1000
const NAMED = 6
/** More are listed when somebody asks. */
const LISTED = 8

export interface Previewed {
  readonly value: Preview | undefined
  readonly problem: ApiProblem | undefined
}

const UNKNOWN: Previewed = { value: undefined, problem: undefined }

/** What these targets would hit now, asked for again whenever they change, or sessions do. */
export function usePreview(targets: readonly Target[]): Previewed {
  const [{ of, ...previewed }, set] = useState<Previewed & { of: string }>({ ...UNKNOWN, of: '' })
  const key = JSON.stringify(targets)
  // The key stands for the targets.
  useEffect(() => {
    if (targets.length === 0 || targets.length > 200) return
    const stop = new AbortController()
    let happened = false
    const look = async (background: boolean) => {
      happened = false
      const request = { method: 'POST', body: { targets }, signal: stop.signal } as const
      try {
        const value = await ask<Preview>('/revocations/preview', { ...request, background })
        set({ of: key, value, problem: undefined })
      } catch (error) {
        // What was found stays, and is looked at again, while the broker cannot be asked.
        if (background) happened = true
        else if (error instanceof ApiProblem) set({ of: key, value: undefined, problem: error })
      }
      if (!stop.signal.aborted) timer = setTimeout(again, AGAIN_MS)
    }
    // Who begins or ends while somebody reads the dialog is in it a moment later.
    const again = () => {
      if (happened) look(true)
      else timer = setTimeout(again, AGAIN_MS)
    }
    let timer = setTimeout(look, AFTER_MS, false)
    const note = () => {
      happened = true
    }
    const ends = [onEvent('session', note), onEvent('revocation', note)]
    return () => {
      clearTimeout(timer)
      stop.abort()
      for (const end of ends) end()
    }
  }, [key])
  // What is told of other targets is not told of these, not even until these are looked at.
  return of === key ? previewed : UNKNOWN
}

/** The same problem, naming the target that it points at. */
export function about(problem: ApiProblem, targets: readonly Target[]): ApiProblem {
  const target = targets[Number(/^\/targets\/(\d+)/.exec(problem.pointer ?? '')?.[1])]
  if (target === undefined) return problem
  const detail = `${targetText(target)}: ${problem.detail ?? problem.message}`
  const { status, code, message: title } = problem
  return new ApiProblem({ status, code, title, detail })
}

interface HitsProps {
  readonly targets: readonly Target[]
  readonly preview: Previewed
  readonly tooMany: boolean
}

export function Hits({ targets, preview: { value, problem }, tooMany }: HitsProps) {
  if (tooMany) {
    return (
      <Notice kind="warn" title={`${counted(targets.length, 'target')} are too many at once`}>
        At most 200. Stop the task, the principal or the server they have in common.
      </Notice>
    )
  }
  if (problem !== undefined) return <ProblemNote problem={about(problem, targets)} />
  if (targets.length === 0) return null
  return (
    <section class="hits" aria-live="polite" aria-busy={value === undefined}>
      {value === undefined ? (
        <span class="muted">Looking at what this hits …</span>
      ) : (
        <>
          <b>
            {targets.every(({ kind }) => kind === 'jti')
              ? `Stops ${counted(targets.length, 'token')}, and nothing else`
              : value.sessions === 0
                ? 'No session is live: this keeps new tokens from being issued'
                : `Stops ${value.bounded ? 'at least ' : ''}${counted(value.sessions, 'live session')} now`}
          </b>
          {targets.length > 1 && <Each targets={targets} preview={value} />}
          {value.workloads.length > 0 && (
            <Names title="Agents" names={value.workloads} short={name} />
          )}
          {value.servers.length > 0 && (
            <Names title="At" names={value.servers} short={shortServer} />
          )}
          {value.wide && (
            <Notice kind="warn" title="This is wide">
              You will be asked to touch your passkey for exactly this.
            </Notice>
          )}
        </>
      )}
    </section>
  )
}

/** How many each of them hits: one that hits nobody is often misspelt. */
function Each({ targets, preview }: { targets: readonly Target[]; preview: Preview }) {
  const { each, bounded } = preview
  const list = (
    <ul class="each">
      {targets.map((target, at) => (
        <li key={JSON.stringify(target)}>
          <span class="cut" title={targetText(target)}>
            {targetText(target)}
          </span>
          <span class={each[at] === 0 && target.kind !== 'jti' ? 'warn-text' : 'muted'}>
            {hitText(target, each[at] ?? 0, bounded)}
          </span>
        </li>
      ))}
    </ul>
  )
  const title = `By ${targets.length} revocations, one for each`
  if (targets.length > LISTED) {
    return (
      <details class="plain">
        <summary>{title}</summary>
        {list}
      </details>
    )
  }
  return (
    <>
      <span class="muted">{title}</span>
      {list}
    </>
  )
}

function hitText({ kind }: Target, count: number, bounded: boolean): string {
  if (kind === 'jti') return 'this token'
  if (count === 0 && !bounded) return 'no session now'
  return `${bounded ? 'at least ' : ''}${counted(count, 'session')}`
}

const name = (id: string) => shortId(id).name

interface NamesProps {
  readonly title: string
  readonly names: readonly string[]
  readonly short: (name: string) => string
}

function Names({ title, names, short }: NamesProps) {
  const rest = names.length - NAMED
  return (
    <div class="row names">
      <span class="muted">{title}</span>
      {names.slice(0, NAMED).map((each) => (
        <span key={each} class="chip" title={each}>
          <span class="cut">{short(each)}</span>
        </span>
      ))}
      {rest > 0 && (
        <span class="muted small" title={names.slice(NAMED).join('\n')}>
          and {rest}
          {names.length >= 100 ? ' or more' : ''} others
        </span>
      )}
    </div>
  )
}
