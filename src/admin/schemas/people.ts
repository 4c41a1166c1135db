import { z } from 'zod'
import { ROLES } from '../../sign-in/admin.ts'
import { MAX_NAME } from '../../sign-in/names.ts'
import { count, seconds, text, touchForExactly } from './values.ts'

/** What somebody's id may look like in an address. */
export const PERSON_ID = /^[\x21-\x7e]{1,200}$/

export const role = z.enum(ROLES).describe('each may do what those before it may')

export const me = z
  .object({
    id: z.string().describe('person:…, client:… or local:…'),
    name: z.string(),
    kind: z.enum(['person', 'client', 'local']),
    role,
    touchedAt: seconds.optional(),
    csrf: z.string().optional().describe('browsers send it back in X-Writ-Csrf'),
  })
  .meta({ id: 'Me' })

export const passkey = z
  .object({
    id: z.string(),
    label: z.string(),
    createdAt: seconds,
    lastUsedAt: seconds.optional(),
    backedUp: z.boolean(),
  })
  .meta({ id: 'Passkey' })

export const person = z
  .object({
    id: z.string(),
    name: z.string(),
    role,
    createdAt: seconds,
    lastSignInAt: seconds.optional(),
    passkeys: z.array(passkey),
  })
  .meta({ id: 'Person' })

export const newPerson = { name: text(MAX_NAME), role }

export const invitation = z
  .strictObject({ ...newPerson, touch: touchForExactly })
  .meta({ id: 'Invitation' })

export const anotherInvitation = z
  .strictObject({ touch: touchForExactly })
  .meta({ id: 'AnotherInvitation' })

export const invited = z
  .object({ url: z.string().describe('shown once; good for an hour'), expiresAt: seconds })
  .meta({ id: 'Invited' })

export const roleChange = z
  .strictObject({ role, touch: touchForExactly })
  .meta({ id: 'RoleChange' })

export const removal = z.strictObject({ touch: touchForExactly }).meta({ id: 'Removal' })

export const problem = z
  .object({
    type: z.string().describe('a URI that names the kind of problem'),
    title: z.string(),
    status: count,
    detail: z.string().optional(),
    code: z.string(),
    pointer: z.string().optional().describe('into the body, or the name of a parameter'),
  })
  .meta({ id: 'Problem' })

export const problemKind = z
  .object({
    code: z.string(),
    status: count,
    title: z.string(),
    whatToDo: z.string(),
  })
  .meta({ id: 'ProblemKind' })

export type Me = z.output<typeof me>
export type Person = z.output<typeof person>
export type Invited = z.output<typeof invited>
export type Problem = z.output<typeof problem>
