import { useState } from 'preact/hooks'
import type { Invited, Person } from '../api/types.ts'
import { useMayChange } from '../shell.tsx'
import { Icon } from '../ui/icon.tsx'
import { useAction, useLoad } from '../ui/load.ts'
import { Empty, Loading, ProblemNote } from '../ui/state.tsx'
import { Time } from '../ui/time.tsx'
import { say } from '../ui/toast.tsx'
import { inviteAgain, remove, removePasskey } from './people-changes.ts'
import { InviteDialog, LinkDialog, RemoveDialog, RoleDialog, roleText } from './people-dialogs.tsx'

type Open =
  | { readonly is: 'invite' }
  | { readonly is: 'link'; readonly invited: Invited; readonly name: string }
  | { readonly is: 'role' | 'remove'; readonly person: Person }
  | {
      readonly is: 'passkey'
      readonly person: Person
      readonly passkey: Person['passkeys'][number]
    }

export function PeoplePage() {
  const mayChange = useMayChange()
  const { value, problem, reload } = useLoad<{ items: readonly Person[] }>(
    mayChange ? '/people' : undefined,
  )
  const [open, setOpen] = useState<Open>()
  const change = useAction()
  const close = () => {
    setOpen(undefined)
    reload()
  }
  const linkFor = (person: Person) =>
    change.run(async (attempt) => {
      const invited = await inviteAgain(person, attempt)
      setOpen({ is: 'link', invited, name: person.name })
    })
  if (!mayChange) {
    return (
      <div class="card">
        <Empty title="For admins">Who may sign in is for admins to see and to change.</Empty>
      </div>
    )
  }
  return (
    <>
      <div class="page-head">
        <h1>People</h1>
        <button type="button" class="button main push" onClick={() => setOpen({ is: 'invite' })}>
          Invite …
        </button>
        <p>
          Everybody signs in with a passkey. Every change here is in the audit and takes a touch of
          your passkey, so that a copied sign-in lets nobody in and shuts nobody out.
        </p>
      </div>
      <div class="stack">
        {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
        {change.problem !== undefined && <ProblemNote problem={change.problem} />}
        {value === undefined && problem === undefined && <Loading what="people" />}
        {value?.items.map((person) => (
          <PersonCard
            key={person.id}
            person={person}
            onRole={() => setOpen({ is: 'role', person })}
            onInvite={() => linkFor(person)}
            onRemove={() => setOpen({ is: 'remove', person })}
            onPasskey={(passkey) => setOpen({ is: 'passkey', person, passkey })}
          />
        ))}
      </div>
      {open?.is === 'invite' && (
        <InviteDialog
          onClose={close}
          onInvited={(invited, name) => setOpen({ is: 'link', invited, name })}
        />
      )}
      {open?.is === 'link' && <LinkDialog {...open} onClose={close} />}
      {open?.is === 'role' && <RoleDialog {...open} onClose={close} />}
      {open?.is === 'remove' && (
        <RemoveDialog
          title={`Remove ${open.person.name}`}
          says="They are signed out everywhere at once, and their passkeys count no more."
          action={async (attempt) => {
            await remove(open.person, attempt)
            say(`${open.person.name} was removed`)
          }}
          onClose={close}
        />
      )}
      {open?.is === 'passkey' && (
        <RemoveDialog
          title={`Remove the passkey ${open.passkey.label}`}
          says={`${open.person.name} is signed out everywhere, and can no longer sign in with it.`}
          action={async (attempt) => {
            await removePasskey(open.person, open.passkey, attempt)
            say('The passkey was removed')
          }}
          onClose={close}
        />
      )}
    </>
  )
}

interface CardProps {
  readonly person: Person
  readonly onRole: () => void
  readonly onInvite: () => void
  readonly onRemove: () => void
  readonly onPasskey: (passkey: Person['passkeys'][number]) => void
}

function PersonCard({ person, onRole, onInvite, onRemove, onPasskey }: CardProps) {
  const { name, id, role, createdAt, lastSignInAt, passkeys } = person
  return (
    <section class="card" aria-label={name}>
      <div class="card-head person">
        <div class="two">
          <h2>{name}</h2>
          <span>
            {lastSignInAt === undefined ? (
              'never signed in'
            ) : (
              <>
                signed in <Time at={lastSignInAt} />
              </>
            )}
            {' · here since '}
            <Time at={createdAt} />
          </span>
        </div>
        <span class="chip push">{roleText(role)}</span>
        <button type="button" class="button" aria-label={`Role of ${name} …`} onClick={onRole}>
          Role …
        </button>
        <button type="button" class="button" onClick={onRemove}>
          Remove …
        </button>
      </div>
      <ul class="checks passkeys">
        {passkeys.map((passkey) => (
          <li key={passkey.id}>
            <span class="two">
              <span>{passkey.label}</span>
              <span>
                {passkey.lastUsedAt === undefined ? (
                  'never used'
                ) : (
                  <>
                    used <Time at={passkey.lastUsedAt} />
                  </>
                )}
                {passkey.backedUp ? ' · synced' : ' · on one device'}
              </span>
            </span>
            <button
              type="button"
              class="button quiet slim"
              aria-label={`Remove the passkey ${passkey.label} of ${name}`}
              onClick={() => onPasskey(passkey)}
            >
              Remove …
            </button>
          </li>
        ))}
        <li>
          <code class="muted small cut">{id}</code>
          <button type="button" class="button slim" onClick={onInvite}>
            <Icon name="fingerprint" />
            Link for another passkey
          </button>
        </li>
      </ul>
    </section>
  )
}
