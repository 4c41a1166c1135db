import { z } from 'zod'
import { newPerson, PERSON_ID, role } from './people.ts'
import { stops, undoes } from './revocations.ts'

const person = z.string().regex(PERSON_ID).describe("somebody's id")
/** As they are written, so that each can be put into an address. */
const id = z.string().regex(/^[\x21-\x7e]{1,256}$/)

/** What a touch is asked for: exactly what will be sent with it. */
export const touchRequest = z
  .discriminatedUnion('change', [
    z
      .strictObject({ change: z.literal('revoke').optional(), ...stops })
      .describe('for POST /v1/revocations'),
    z
      .strictObject({
        change: z.literal('undo_revocation'),
        revocation: id.describe("a revocation's id"),
        ...undoes,
      })
      .describe('for POST /v1/revocations/{id}/undo'),
    z
      .strictObject({ change: z.literal('invite_person'), ...newPerson })
      .describe('for POST /v1/people'),
    z
      .strictObject({ change: z.literal('invite_again'), person })
      .describe('for POST /v1/people/{id}/invitations'),
    z
      .strictObject({ change: z.literal('change_role'), person, role })
      .describe('for PATCH /v1/people/{id}'),
    z
      .strictObject({ change: z.literal('remove_person'), person })
      .describe('for DELETE /v1/people/{id}'),
    z
      .strictObject({
        change: z.literal('remove_passkey'),
        person,
        passkey: id.describe("a passkey's id"),
      })
      .describe('for DELETE /v1/people/{id}/passkeys/{passkey}'),
  ])
  .meta({ id: 'TouchRequest', description: 'without `change` it is for a revocation' })

export const touchOptions = z
  .record(z.string(), z.unknown())
  .meta({ id: 'TouchOptions', description: 'options for navigator.credentials.get' })

export type TouchRequest = z.output<typeof touchRequest>
