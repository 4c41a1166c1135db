import type { ComponentChildren } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { Dialog } from './dialog.tsx'
import { focusWrong } from './field.tsx'
import { Icon } from './icon.tsx'
import { type Attempt, useAction } from './load.ts'
import { ProblemNote } from './state.tsx'

interface TouchProps {
  readonly title: string
  /** What it does, on the button that does it. */
  readonly button: string
  readonly look?: 'main' | 'stop'
  /** Whether everything that is needed is there. */
  readonly whole?: boolean
  /** Touches and asks; what it is refused with is shown, and the dialog stays. */
  readonly action: (attempt: Attempt) => Promise<void>
  readonly onClose: () => void
  /** @param asked whether it was tried already, so that what is missing is marked */
  readonly children: (asked: boolean) => ComponentChildren
}

/** A dialog for what being signed in is not enough for: its button asks for the passkey. */
export function TouchDialog({
  title,
  button,
  look = 'main',
  whole = true,
  action,
  onClose,
  children,
}: TouchProps) {
  const [asked, setAsked] = useState(false)
  const { busy, problem, run } = useAction()
  const form = useRef<HTMLFormElement>(null)
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        ref={form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          setAsked(true)
          if (whole && !busy) run(action)
          else focusWrong(form.current)
        }}
      >
        <div class="dialog-body">
          {children(asked)}
          <p class="muted small">
            You touch your passkey for it: being signed in is not enough, as a sign-in can be
            copied.
          </p>
          {problem !== undefined && <ProblemNote problem={problem} />}
        </div>
        <div class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          {/* Not disabled, which takes the focus away: who cancelled the touch tries again with Enter. */}
          <button type="submit" class={`button ${look}`} aria-disabled={busy}>
            <Icon name="fingerprint" />
            {busy ? 'Touch your passkey …' : button}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
