/** Lists of the admin API, read page by page. */
import type { AdminClient, Query, Schema } from './admin-client.ts'
import { CliError } from './answer.ts'
import { printable } from './text.ts'

export const MOST = 10_000
/** The API's own. */
const PAGE = 200
/** A search may end before it has found anything, and goes on from there. */
const MAX_PAGES = 1000

/** @throws {CliError} usage */
export function parseLimit(text = '50'): number {
  const limit = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0
  if (limit >= 1 && limit <= MOST) return limit
  throw new CliError('usage', `"${printable(text)}" is no number from 1 to ${MOST}`)
}

type Page<Item> = Schema<{ items: Item[]; next: string | null }>

/** As many items as asked for; `next` is null when there are no more. */
export async function readPages<Item>(
  admin: AdminClient,
  path: string,
  schema: Page<Item>,
  {
    query,
    limit,
    signal,
  }: {
    readonly query: Query
    readonly limit: number
    readonly signal?: AbortSignal | undefined
  },
): Promise<{ items: Item[]; next: string | null }> {
  const items: Item[] = []
  let cursor: string | undefined
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const asked = { ...query, limit: Math.min(PAGE, limit - items.length), cursor }
    const { items: found, next } = await admin.get(path, schema, asked, { signal })
    items.push(...found)
    if (next === null || items.length >= limit) return { items, next }
    cursor = next
  }
  throw new CliError('unavailable', `${admin.where} does not come to the end of this list`)
}
