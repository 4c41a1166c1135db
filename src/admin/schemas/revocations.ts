import { z } from 'zod'
import { TARGET_KINDS } from '../../revocation/target.ts'
import { holderOfRevocation } from './holders.ts'
import {
  count,
  cursorText,
  limitText,
  pattern,
  seconds,
  text,
  touch,
  touchForExactly,
} from './values.ts'

export const target = z
  .strictObject({
    kind: z.enum(TARGET_KINDS),
    value: text(2048).describe(
      "a token's jti, a session's id, a workload id, a principal, a task, a key's thumbprint, a server's resource URI, a trust domain or an issuer's alias, or for `before` a time in seconds",
    ),
    beneath: z.boolean().optional().describe('agents: every id beneath this path too'),
    principal: text(2048).optional().describe('agents: only when acting for this principal'),
  })
  .meta({ id: 'Target' })

const who = {
  by: z.string().describe('who: person:…, client:…, local:… or cli:…'),
  byName: z
    .string()
    .optional()
    .describe('for admins: what that person is called, while they may sign in'),
}

export const revocation = z
  .object({
    id: z.string(),
    target,
    at: seconds,
    until: seconds.optional(),
    reason: z.string(),
    ...who,
    state: z.enum(['live', 'ended', 'undone']),
    undone: z.object({ at: seconds, reason: z.string(), ...who }).optional(),
    canUndo: z.boolean(),
    holders: z
      .object({ holding: count, all: count })
      .describe('how many of the holders that are heard from have it'),
  })
  .meta({ id: 'Revocation' })

export const revocationDetail = revocation
  .omit({ holders: true })
  .extend({
    holders: z.object({
      holding: count,
      all: count,
      items: z.array(holderOfRevocation),
    }),
    command: z.string().describe('the same as a command'),
  })
  .meta({ id: 'RevocationDetail' })

/** Ten digits reach beyond the year 2200; a time in milliseconds has more, and no store keeps it. */
const FARTHEST_END_SECONDS = 9_999_999_999

const end = seconds.max(FARTHEST_END_SECONDS, 'is too far off; leave it out')
const reason = text(1024).regex(/\S/, 'is blank')

/** What is to be stopped, why, and until when. */
export const stops = {
  targets: z.array(target).min(1).max(200),
  reason: reason.describe('why, for the record'),
  until: end.optional().describe('when it ends by itself; never, when not given'),
}

export const newRevocations = z
  .strictObject({
    ...stops,
    touch: touch.describe('a fresh passkey touch for exactly this, when it is wide'),
  })
  .meta({ id: 'NewRevocations' })

export const previewRequest = z
  .strictObject({ ...stops, reason: stops.reason.optional() })
  .meta({ id: 'PreviewRequest' })

export const preview = z
  .object({
    sessions: count.describe('live sessions this would stop now'),
    each: z.array(count).describe('of these, those that each target hits, in the order of targets'),
    workloads: z.array(z.string()).describe('theirs, at most 100'),
    servers: z.array(z.string()),
    wide: z.boolean().describe('whether a person has to touch a passkey for it'),
    command: z.string().describe('the same as a command'),
    bounded: z.boolean().describe('there are more sessions than were looked at'),
  })
  .meta({ id: 'Preview' })

export const undoes = { reason: reason.describe('why it may go on, for the record') }

export const undo = z.strictObject({ ...undoes, touch: touchForExactly }).meta({ id: 'Undo' })

export const revocationFilter = z.strictObject({
  state: z.enum(['live', 'ended', 'undone']).optional(),
  kind: z.enum(TARGET_KINDS).optional(),
  text: pattern.optional().describe('in the target, the reason or the id of who did it'),
  limit: limitText(50, 200),
  cursor: cursorText.optional(),
})

export type Target = z.output<typeof target>
export type Revocation = z.output<typeof revocation>
export type RevocationDetail = z.output<typeof revocationDetail>
export type NewRevocations = z.output<typeof newRevocations>
export type Preview = z.output<typeof preview>
