import { z } from 'zod'
import { holder } from './holders.ts'
import { revocation } from './revocations.ts'
import { session } from './sessions.ts'
import { health } from './system.ts'

/** What `GET /v1/events` sends: `event` is the kind, `data` one JSON text, `id` for resuming. */
export const event = z
  .union([
    z.object({ kind: z.literal('session'), data: session }),
    z.object({ kind: z.literal('revocation'), data: revocation }),
    z.object({ kind: z.literal('holder'), data: holder }),
    z.object({ kind: z.literal('health'), data: health }),
    z
      .object({ kind: z.literal('reset'), data: z.object({ why: z.string() }) })
      .describe('something was left out: read the lists again'),
  ])
  .meta({ id: 'Event' })

export type AdminEvent = z.output<typeof event>
