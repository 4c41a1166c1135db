import { useState } from 'preact/hooks'
import type { Invited, Role } from '../api/types.ts'
import { CopyButton } from '../ui/copy.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { SelectField, TextField } from '../ui/field.tsx'
import { Icon } from '../ui/icon.tsx'
import { useAction } from '../ui/load.ts'
import { Notice, ProblemNote } from '../ui/state.tsx'
import { Time } from '../ui/time.tsx'
import { invite } from './people-changes.ts'

export const ROLE_OPTIONS: readonly (readonly [Role, string])[] = [
  ['viewer', 'Viewer'],
  ['approver', 'Approver'],
  ['admin', 'Admin'],
]

const ROLE_HINT: Readonly<Record<Role, string>> = {
  viewer: 'Sees everything but people and the values of arguments.',
  approver: 'What a viewer may.',
  admin: 'May stop things, and decide who signs in.',
}

interface InviteProps {
  readonly onClose: () => void
  readonly onInvited: (invited: Invited, name: string) => void
}

export function InviteDialog({ onClose, onInvited }: InviteProps) {
  const [name, setName] = useState('')
  const [role, setRole] = useState<Role>('viewer')
  const [asked, setAsked] = useState(false)
  const { busy, problem, run } = useAction()
  const send = async () => {
    const who = { name: name.trim(), role }
    onInvited(await invite(who), who.name)
  }
  return (
    <Dialog title="Invite somebody" onClose={onClose}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          setAsked(true)
          if (name.trim() !== '' && !busy) run(send)
        }}
      >
        <div class="dialog-body">
          <TextField
            label="Name"
            required
            value={name}
            onValue={setName}
            wrong={asked && name.trim() === '' ? 'A name is needed' : undefined}
          />
          <SelectField
            label="Role"
            value={role}
            onValue={(next) => setRole(next as Role)}
            options={ROLE_OPTIONS}
            hint={ROLE_HINT[role]}
          />
          <p class="muted small">
            You touch your passkey for it: the link lets somebody in, so being signed in is not
            enough.
          </p>
          {problem !== undefined && <ProblemNote problem={problem} />}
        </div>
        <div class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button main" disabled={busy}>
            <Icon name="fingerprint" />
            Make a link
          </button>
        </div>
      </form>
    </Dialog>
  )
}

interface LinkProps {
  readonly invited: Invited
  readonly name: string
  readonly onClose: () => void
}

/** Shown once: it is kept nowhere, and lost with this dialog. */
export function LinkDialog({ invited: { url, expiresAt }, name, onClose }: LinkProps) {
  return (
    <Dialog title={`A link for ${name}`} onClose={onClose}>
      <div class="dialog-body">
        <Notice kind="warn" title="It is shown only now">
          Whoever opens it first enrols a passkey as {name}. Give it to nobody else. It ends{' '}
          <Time at={expiresAt} />.
        </Notice>
        <div class="command link">
          <code class="wrap">{url}</code>
          <CopyButton text={url} what="the link" />
        </div>
      </div>
      <div class="dialog-foot">
        <button type="button" class="button main" onClick={onClose}>
          Done
        </button>
      </div>
    </Dialog>
  )
}

interface ConfirmProps {
  readonly title: string
  readonly says: string
  readonly button: string
  readonly action: () => Promise<void>
  readonly onClose: () => void
}

export function ConfirmDialog({ title, says, button, action, onClose }: ConfirmProps) {
  const { busy, problem, run } = useAction()
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="dialog-body">
        <p>{says}</p>
        {problem !== undefined && <ProblemNote problem={problem} />}
      </div>
      <div class="dialog-foot">
        <button type="button" class="button" onClick={onClose}>
          Cancel
        </button>
        <button
          type="button"
          class="button stop"
          disabled={busy}
          onClick={() =>
            run(async () => {
              await action()
              onClose()
            })
          }
        >
          {button}
        </button>
      </div>
    </Dialog>
  )
}
