/** What several parts of the admin API are made of. */
import { z } from 'zod'

export const seconds = z.number().describe('seconds since the epoch')
export const text = (max: number) => z.string().min(1).max(max)
/** What a passkey answers; looked at where passkeys are. */
export const touch = z.unknown().optional()
export const touchForExactly = touch.describe(
  'a fresh passkey touch for exactly this; needed from browsers',
)
export const count = z.number().int().nonnegative()

/** A page of a list; `next` is the cursor of the one after it, null at the end. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({
    items: z.array(item),
    next: z.string().nullable().describe('send it as `cursor` for what follows; null at the end'),
  })

/**
 * The same for lists that are searched: when the bound of one search is reached the page may hold
 * few items, or none, and `next` goes on from there.
 */
export const searchedPageOf = <T extends z.ZodType>(item: T) =>
  pageOf(item).extend({
    bounded: z.boolean().describe('the search stopped at its bound; `next` continues it'),
  })

/** A whole list that is short. */
export const listOf = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item) })

/** Says what a text in a query stands for, for the OpenAPI document. */
const shown = (type: Record<string, unknown>) => ({ openapi: type })

export const secondsText = z
  .string()
  .regex(/^[0-9]{1,12}(?:\.[0-9]{1,6})?$/, 'expected seconds since the epoch')
  .transform(Number)
  .meta(shown({ type: 'number', minimum: 0, description: 'seconds since the epoch' }))

/** How many items a page has at most. */
export const limitText = (standard: number, most: number) =>
  z
    .string()
    .regex(/^[1-9][0-9]{0,3}$/, `expected a number from 1 to ${most}`)
    .transform(Number)
    .pipe(z.number().max(most))
    .default(standard)
    .meta(shown({ type: 'integer', minimum: 1, maximum: most, default: standard }))

export const cursorText = z.string().min(1).max(1024)
export const pattern = text(256).describe('part of it, whatever the case of letters')
