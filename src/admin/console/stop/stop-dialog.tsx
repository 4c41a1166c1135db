import { useMemo, useRef, useState } from 'preact/hooks'
import { ApiProblem, ask } from '../api/client.ts'
import type { NewRevocations, Page, Revocation, Session, Target } from '../api/types.ts'
import { Command } from '../ui/copy.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Field, focusWrong } from '../ui/field.tsx'
import { Icon } from '../ui/icon.tsx'
import { type Attempt, useAction } from '../ui/load.ts'
import { ProblemNote } from '../ui/state.tsx'
import { counted, quoted } from '../ui/text.ts'
import { ByHand } from './by-hand.tsx'
import { type End, EndFields, endOptions, endProblem, NEVER, untilOf } from './ends.tsx'
import { about, Hits, usePreview } from './hits.tsx'
import { scopesOf } from './scopes.ts'
import { Stopped } from './stopped.tsx'
import { touchFor } from './touch.ts'

interface StopProps {
  /** What to stop: these sessions; or, when none, what is typed. */
  readonly sessions: readonly Session[]
  readonly onClose: (stopped: boolean) => void
}

export function StopDialog({ sessions: given, onClose }: StopProps) {
  // As they were when it was opened: what is offered must not change under the pointer.
  const [sessions] = useState(given)
  const [done, setDone] = useState<readonly Revocation[]>()
  const title =
    done !== undefined
      ? 'Stopped'
      : sessions.length === 0
        ? 'Stop something'
        : `Stop ${counted(sessions.length, 'session')}`
  return (
    <Dialog title={title} onClose={() => onClose(done !== undefined)}>
      {done === undefined ? (
        <StopForm sessions={sessions} onDone={setDone} onCancel={() => onClose(false)} />
      ) : (
        <Stopped revocations={done} onClose={() => onClose(true)} />
      )}
    </Dialog>
  )
}

interface FormProps {
  readonly sessions: readonly Session[]
  readonly onDone: (made: readonly Revocation[]) => void
  readonly onCancel: () => void
}

function StopForm({ sessions, onDone, onCancel }: FormProps) {
  const scopes = useMemo(() => scopesOf(sessions), [sessions])
  const [scope, setScope] = useState(0)
  const [typed, setTyped] = useState<readonly Target[]>([])
  const [reason, setReason] = useState('')
  const [end, setEnd] = useState(NEVER)
  const [asked, setAsked] = useState(false)
  const { busy, problem, run } = useAction()
  const byHand = sessions.length === 0
  const targets = byHand ? typed : (scopes[scope]?.targets ?? [])
  const preview = usePreview(targets)
  const sent = useRef<{ text: string; key: string; until: number | undefined }>(undefined)
  const form = useRef<HTMLFormElement>(null)
  const wrong =
    asked && reason.trim() === '' ? 'Say why: it is kept with the revocation' : undefined

  const stop = async ({ signal }: Attempt) => {
    const text = JSON.stringify([targets, reason, end])
    // The same request again has the same key and the same end, so that it counts once.
    if (sent.current?.text !== text) {
      const until = untilOf(end, Date.now() / 1000)
      sent.current = { text, key: crypto.randomUUID(), until }
    }
    const { key, until } = sent.current
    const action: NewRevocations = {
      targets: [...targets],
      reason: reason.trim(),
      ...(until === undefined ? {} : { until }),
    }
    const send = (touch: object) =>
      ask<Pick<Page<Revocation>, 'items'>>('/revocations', {
        method: 'POST',
        body: { ...action, ...touch },
        idempotencyKey: key,
      })
    const touched = async () => send({ touch: await touchFor(action, signal) })
    const made = preview.value?.wide ? await touched() : await send({}).catch(orTouched(touched))
    onDone(made.items)
  }
  const command = commandOf(preview.value?.command, reason, end)
  const tooMany = targets.length > 200
  // The preview is refused what the stop is, in the same words, and says so above.
  const isTold =
    preview.problem?.code === problem?.code && preview.problem?.detail === problem?.detail
  return (
    <form
      ref={form}
      noValidate
      onSubmit={(event) => {
        event.preventDefault()
        setAsked(true)
        const whole = reason.trim() !== '' && endProblem(end, Date.now() / 1000) === undefined
        if (targets.length > 0 && whole && !tooMany && !busy) run(stop)
        else focusWrong(form.current)
      }}
    >
      <div class="dialog-body">
        {byHand ? (
          <ByHand onTargets={setTyped} asked={asked} />
        ) : (
          <fieldset class="choices">
            <legend class="hidden">What to stop</legend>
            {scopes.map(({ id, title, says }, at) => (
              <label key={id} class="choice">
                <input
                  type="radio"
                  name="scope"
                  value={id}
                  checked={at === scope}
                  onChange={() => setScope(at)}
                />
                <b class="wrap">{title}</b>
                <span class="muted small wrap">{says}</span>
              </label>
            ))}
          </fieldset>
        )}
        <Hits targets={targets} preview={preview} tooMany={tooMany} />
        <Field label="Reason" wrong={wrong}>
          {(ids) => (
            <textarea
              {...ids}
              data-first={byHand ? undefined : ''}
              rows={2}
              required
              maxLength={1024}
              placeholder="What happened; who asked for it"
              value={reason}
              onInput={(event) => setReason(event.currentTarget.value)}
            />
          )}
        </Field>
        <EndFields end={end} onEnd={setEnd} asked={asked} />
        {command !== '' && <Command text={command} />}
        {problem !== undefined && !isTold && <ProblemNote problem={about(problem, targets)} />}
      </div>
      <div class="dialog-foot">
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="submit" class="button stop" aria-disabled={busy} disabled={tooMany}>
          {preview.value?.wide && <Icon name="fingerprint" />}
          {busy ? 'Stopping …' : stopText(preview.value?.sessions)}
        </button>
      </div>
    </form>
  )
}

/** It may have become wide since it was looked at, or was sent before that was known. */
function orTouched<T>(touched: () => Promise<T>) {
  return (error: unknown): Promise<T> => {
    if (error instanceof ApiProblem && error.code === 'touch_required') return touched()
    throw error
  }
}

function stopText(sessions: number | undefined): string {
  return sessions === undefined || sessions === 0 ? 'Stop' : `Stop ${counted(sessions, 'session')}`
}

function commandOf(command: string | undefined, reason: string, end: End): string {
  if (command === undefined) return ''
  const why = reason.trim() === '' ? '…' : reason.trim()
  return `${command} --reason ${quoted(why)}${endOptions(end)}`
}
