import { useLayoutEffect, useState } from 'preact/hooks'
import type { Target } from '../api/types.ts'
import { Field, SelectField, TextField } from '../ui/field.tsx'
import { KIND_HINT, KIND_TEXT } from './target-text.ts'
import { distinct, type Read, readTyped, type Typed } from './typed.ts'

const KINDS = Object.entries(KIND_TEXT) as [Target['kind'], string][]
const NOTHING: Typed = { kind: 'agent', text: '', principal: '' }
const MOST_ROWS = 8

interface ByHandProps {
  /** None while anything is wrong: half of what somebody typed is never stopped. */
  readonly onTargets: (targets: readonly Target[]) => void
  /** Whether it was to be sent: what is missing is said from then on. */
  readonly asked: boolean
}

/** Targets that are typed or pasted: several of one kind, one on each line, and several kinds. */
export function ByHand({ onTargets, asked }: ByHandProps) {
  const [groups, setGroups] = useState<readonly (Typed & { readonly id: number })[]>([
    { ...NOTHING, id: 0 },
  ])
  const now = Date.now() / 1000
  const read = groups.map((group) => readTyped(group, now))
  const targets = distinct(read.flatMap((each) => each.targets))
  const good = read.every(({ wrong }) => wrong === undefined)
  const key = JSON.stringify(good ? targets : [])
  // The key stands for the targets. Before anybody can press a button: it stops what is on the screen.
  useLayoutEffect(() => onTargets(good ? targets : []), [key])
  const last = groups.at(-1)!
  return (
    <>
      {groups.map((group, at) => (
        <Group
          key={group.id}
          typed={group}
          read={read[at]!}
          asked={asked}
          needed={targets.length === 0 && good && at === 0}
          title={groups.length === 1 ? 'What to stop' : `What to stop, part ${at + 1}`}
          onTyped={(typed) =>
            setGroups(groups.map((each) => (each === group ? { ...group, ...typed } : each)))
          }
          onRemove={
            groups.length === 1
              ? undefined
              : () => setGroups(groups.filter((each) => each !== group))
          }
        />
      ))}
      <div>
        <button
          type="button"
          class="button slim"
          onClick={() => setGroups([...groups, { ...NOTHING, kind: last.kind, id: last.id + 1 }])}
        >
          And something else …
        </button>
      </div>
    </>
  )
}

interface GroupProps {
  readonly typed: Typed
  readonly read: Read
  readonly asked: boolean
  readonly needed: boolean
  readonly title: string
  readonly onTyped: (change: Partial<Typed>) => void
  readonly onRemove: (() => void) | undefined
}

function Group({ typed, read, asked, needed, title, onTyped, onRemove }: GroupProps) {
  const { kind, text, principal } = typed
  // Nobody is told that a word is wrong while they write it.
  const [left, setLeft] = useState(false)
  const wrong = read.wrong ?? (needed ? 'This is needed' : undefined)
  const shown = asked || (left && text !== '') ? wrong : undefined
  return (
    <fieldset class="typed">
      <legend class="hidden">{title}</legend>
      <SelectField
        label="What"
        value={kind}
        options={KINDS}
        onValue={(next) => onTyped({ kind: next as Target['kind'], text: '' })}
      />
      {onRemove !== undefined && (
        <button type="button" class="button quiet" onClick={onRemove}>
          Remove<span class="hidden"> {title.toLowerCase()}</span>
        </button>
      )}
      <Field
        key={kind}
        look="whole"
        label={KIND_TEXT[kind]}
        hint={kind === 'before' ? KIND_HINT[kind] : `${KIND_HINT[kind]} One on each line.`}
        wrong={shown}
      >
        {(ids) =>
          kind === 'before' ? (
            <input
              {...ids}
              type="datetime-local"
              step={1}
              data-first=""
              value={text}
              onInput={(event) => onTyped({ text: event.currentTarget.value })}
              onBlur={() => setLeft(true)}
            />
          ) : (
            <textarea
              {...ids}
              class="lines"
              data-first=""
              rows={Math.min(MOST_ROWS, text.split('\n').length)}
              autoComplete="off"
              spellcheck={false}
              value={text}
              onInput={(event) => onTyped({ text: event.currentTarget.value })}
              onBlur={() => setLeft(true)}
            />
          )
        }
      </Field>
      {kind === 'agent' && (
        <TextField
          look="whole"
          label="Only when acting for (optional)"
          hint="A principal. Without it, whoever the agent acts for."
          value={principal}
          onValue={(value) => onTyped({ principal: value })}
        />
      )}
    </fieldset>
  )
}
