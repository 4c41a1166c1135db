import { type Person as Kept, ROLES } from '../sign-in/admin.ts'
import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import { PROBLEM_KINDS } from './problem-kinds.ts'
import { type Route, route } from './route.ts'
import {
  anotherInvitation,
  invitation,
  invited,
  me,
  PERSON_ID,
  type Person,
  person,
  problemKind,
  removal,
  roleChange,
} from './schemas/people.ts'
import { listOf } from './schemas/values.ts'
import { checkTouchedForAll } from './touch.ts'

export const peopleRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/me',
    role: 'viewer',
    summary: 'Who asks, and what they may do',
    answer: me,
    async run({ admin: { touchedAt, csrf, ...told } }) {
      return {
        ...told,
        ...(touchedAt === undefined ? {} : { touchedAt }),
        ...(csrf === undefined ? {} : { csrf }),
      }
    },
  }),
  route({
    method: 'GET',
    path: '/v1/people',
    role: 'admin',
    summary: 'Who may sign in, and with which passkeys',
    answer: listOf(person),
    run: async ({ parts }) => ({ items: (await parts.signIn.people.list()).map(personOf) }),
  }),
  route({
    method: 'POST',
    path: '/v1/people',
    role: 'admin',
    summary: 'A one-time link with which somebody new enrols a passkey',
    body: invitation,
    answer: invited,
    status: 201,
    change: {
      key: 'accepted',
      secret: true,
      check: checkTouchedForAll,
      asked: ({ body: { name, role } }) => ({ reason: 'invite_person', evidence: { name, role } }),
    },
    run: ({ parts, body: { name, role }, admin }) =>
      parts.signIn.people.invite({ name, role }, admin),
  }),
  route({
    method: 'POST',
    path: '/v1/people/{id}/invitations',
    role: 'admin',
    summary: 'A one-time link for another passkey of somebody who is there',
    body: anotherInvitation.optional(),
    answer: invited,
    status: 201,
    change: {
      key: 'accepted',
      secret: true,
      check: checkTouchedForAll,
      asked: ({ params }) => ({ reason: 'invite_again', evidence: { person: params.id } }),
    },
    run: ({ parts, params, admin }) => parts.signIn.people.inviteAgain(idIn(params), admin),
  }),
  route({
    method: 'PATCH',
    path: '/v1/people/{id}',
    role: 'admin',
    summary: `Another role: ${ROLES.join(', ')}`,
    body: roleChange,
    status: 204,
    change: {
      key: 'accepted',
      check: checkTouchedForAll,
      asked: ({ params, body }) => ({
        reason: 'change_role',
        evidence: { person: params.id, role: body.role },
      }),
    },
    run: ({ parts, params, body, admin }) =>
      parts.signIn.people.setRole(idIn(params), body.role, admin),
  }),
  route({
    method: 'DELETE',
    path: '/v1/people/{id}',
    role: 'admin',
    summary: 'Removes somebody; their sign-ins end at once',
    body: removal.optional(),
    status: 204,
    change: {
      key: 'never',
      check: checkTouchedForAll,
      asked: ({ params }) => ({ reason: 'remove_person', evidence: { person: params.id } }),
    },
    run: ({ parts, params, admin }) => parts.signIn.people.remove(idIn(params), admin),
  }),
  route({
    method: 'DELETE',
    path: '/v1/people/{id}/passkeys/{passkey}',
    role: 'admin',
    summary: 'Removes one passkey; the sign-ins of its owner end at once',
    body: removal.optional(),
    status: 204,
    change: {
      key: 'never',
      check: checkTouchedForAll,
      asked: ({ params }) => ({
        reason: 'remove_passkey',
        evidence: { person: params.id, passkey: params.passkey },
      }),
    },
    run: ({ parts, params, admin }) =>
      parts.signIn.people.removePasskey(idIn(params), params.passkey ?? '', admin),
  }),
  route({
    method: 'GET',
    path: '/v1/problems/{code}',
    role: 'viewer',
    summary: 'What a kind of problem means, and what to do',
    answer: problemKind,
    async run({ params }) {
      const code = params.code ?? ''
      const known = Object.entries(PROBLEM_KINDS).find(([name]) => name === code)
      if (known === undefined) return refuseAdmin({ code: 'not_found', what: 'kind of problem' })
      return { code, ...known[1] }
    },
  }),
]

/** What cannot be an id is nobody's. @throws {AdminRefusal} not_found */
function idIn({ id = '' }: Readonly<Record<string, string>>): string {
  return PERSON_ID.test(id) ? id : refuseAdmin({ code: 'not_found', what: 'person' })
}

function personOf({ lastSignInAt, passkeys, ...told }: Kept): Person {
  return {
    ...told,
    ...(lastSignInAt === undefined ? {} : { lastSignInAt }),
    passkeys: passkeys.map(({ lastUsedAt, ...passkey }) => ({
      ...passkey,
      ...(lastUsedAt === undefined ? {} : { lastUsedAt }),
    })),
  }
}
