import { useState } from 'preact/hooks'
import type { Invited, Person, Role } from '../api/types.ts'
import { CopyButton } from '../ui/copy.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { SelectField, TextField } from '../ui/field.tsx'
import type { Attempt } from '../ui/load.ts'
import { Notice } from '../ui/state.tsx'
import { Time } from '../ui/time.tsx'
import { say } from '../ui/toast.tsx'
import { TouchDialog } from '../ui/touch-dialog.tsx'
import { changeRole, invite } from './people-changes.ts'

const ROLE_OPTIONS: readonly (readonly [Role, string])[] = [
  ['viewer', 'Viewer'],
  ['approver', 'Approver'],
  ['admin', 'Admin'],
]

export const roleText = (role: Role) => ROLE_OPTIONS.find(([each]) => each === role)?.[1] ?? role

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
  const [typed, setTyped] = useState('')
  const [role, setRole] = useState<Role>('viewer')
  const name = typed.trim()
  return (
    <TouchDialog
      title="Invite somebody"
      button="Make a link"
      whole={name !== ''}
      action={async (attempt) => onInvited(await invite({ name, role }, attempt), name)}
      onClose={onClose}
    >
      {(asked) => (
        <>
          <TextField
            label="Name"
            required
            value={typed}
            onValue={setTyped}
            wrong={asked && name === '' ? 'A name is needed' : undefined}
          />
          <RoleField role={role} onRole={setRole} />
        </>
      )}
    </TouchDialog>
  )
}

interface RoleProps {
  readonly role: Role
  readonly onRole: (role: Role) => void
}

function RoleField({ role, onRole }: RoleProps) {
  return (
    <SelectField
      label="Role"
      value={role}
      onValue={(next) => onRole(next as Role)}
      options={ROLE_OPTIONS}
      hint={ROLE_HINT[role]}
    />
  )
}

interface ChangeRoleProps {
  readonly person: Person
  readonly onClose: () => void
}

/** A dialog of its own: a list gone through by key would ask for the passkey at every step. */
export function RoleDialog({ person, onClose }: ChangeRoleProps) {
  const [role, setRole] = useState(person.role)
  const change = async (attempt: Attempt) => {
    await changeRole(person, role, attempt)
    say(`${person.name} is ${role} now`)
    if (!attempt.signal.aborted) onClose()
  }
  return (
    <TouchDialog
      title={`The role of ${person.name}`}
      button="Change role"
      action={change}
      onClose={onClose}
    >
      {() => <RoleField role={role} onRole={setRole} />}
    </TouchDialog>
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

interface RemoveProps {
  readonly title: string
  readonly says: string
  readonly action: (attempt: Attempt) => Promise<void>
  readonly onClose: () => void
}

export function RemoveDialog({ title, says, action, onClose }: RemoveProps) {
  const remove = async (attempt: Attempt) => {
    await action(attempt)
    if (!attempt.signal.aborted) onClose()
  }
  return (
    <TouchDialog title={title} button="Remove" look="stop" action={remove} onClose={onClose}>
      {() => <p>{says}</p>}
    </TouchDialog>
  )
}
