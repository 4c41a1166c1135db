/**
 * Who may sign in, and as what. Each change takes a touch of the passkey for exactly that: whoever has
 * copied this browser's sign-in can neither make themselves another one nor shut its owner out.
 */
import { ask } from '../api/client.ts'
import type { Invited, Person, Role } from '../api/types.ts'
import { touchFor } from '../stop/touch.ts'
import type { Attempt } from '../ui/load.ts'

type Named = Pick<Person, 'id'>

const pathOf = ({ id }: Named) => `/people/${encodeURIComponent(id)}`

export async function invite(
  who: { name: string; role: Role },
  { signal, keyOf }: Attempt,
): Promise<Invited> {
  const touch = await touchFor({ change: 'invite_person', ...who }, signal)
  const idempotencyKey = keyOf(who)
  return ask('/people', { method: 'POST', body: { ...who, touch }, idempotencyKey })
}

export async function inviteAgain(person: Named, { signal, keyOf }: Attempt): Promise<Invited> {
  const touch = await touchFor({ change: 'invite_again', person: person.id }, signal)
  const idempotencyKey = keyOf(person.id)
  return ask(`${pathOf(person)}/invitations`, { method: 'POST', body: { touch }, idempotencyKey })
}

export async function changeRole(
  person: Named,
  role: Role,
  { signal, keyOf }: Attempt,
): Promise<void> {
  const touch = await touchFor({ change: 'change_role', person: person.id, role }, signal)
  const idempotencyKey = keyOf([person.id, role])
  await ask(pathOf(person), { method: 'PATCH', body: { role, touch }, idempotencyKey })
}

export async function remove(person: Named, { signal }: Attempt): Promise<void> {
  const touch = await touchFor({ change: 'remove_person', person: person.id }, signal)
  await ask(pathOf(person), { method: 'DELETE', body: { touch } })
}

export async function removePasskey(
  person: Named,
  passkey: Named,
  { signal }: Attempt,
): Promise<void> {
  const touch = await touchFor(
    { change: 'remove_passkey', person: person.id, passkey: passkey.id },
    signal,
  )
  const path = `${pathOf(person)}/passkeys/${encodeURIComponent(passkey.id)}`
  await ask(path, { method: 'DELETE', body: { touch } })
}
