import { z } from 'zod'
import { newPerson, PERSON_ID, role } from './people.ts'
import { stops } from './revocations.ts'

const person = z.string().regex(PERSON_ID).describe("somebody's id")

/** What a touch is asked for: exactly what will be sent with it. */
export const touchRequest = z
  .discriminatedUnion('change', [
    z
      .strictObject({ change: z.literal('revoke').optional(), ...stops })
      .describe('for POST /v1/revocations'),
    z
      .strictObject({ change: z.literal('invite_person'), ...newPerson })
      .describe('for POST /v1/people'),
    z
      .strictObject({ change: z.literal('invite_again'), person })
      .describe('for POST /v1/people/{id}/invitations'),
    z
      .strictObject({ change: z.literal('change_role'), person, role })
      .describe('for PATCH /v1/people/{id}'),
  ])
  .meta({ id: 'TouchRequest', description: 'without `change` it is for a revocation' })

export const touchOptions = z
  .record(z.string(), z.unknown())
  .meta({ id: 'TouchOptions', description: 'options for navigator.credentials.get' })

export type TouchRequest = z.output<typeof touchRequest>
