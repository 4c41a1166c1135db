import { z } from 'zod'
import { count, seconds } from './values.ts'

export const holder = z
  .object({
    id: z.string(),
    kind: z.enum(['broker', 'verifier', 'gateway']),
    server: z.string().optional().describe("the MCP server's resource URI; not for brokers"),
    client: z.string().optional().describe('the client that reports for it'),
    lastHeardAt: seconds,
    silent: z.boolean().describe('nothing was heard of it lately; it counts for nothing'),
    fresh: z.boolean().describe('whether it hears the feed within its bound'),
    lost: count.describe('outcomes it had to leave out'),
  })
  .meta({ id: 'Holder' })

export const holderOfRevocation = holder
  .extend({ holds: z.boolean().describe('whether it has acknowledged this revocation') })
  .meta({ id: 'HolderOfRevocation' })

export type Holder = z.output<typeof holder>
export type HolderOfRevocation = z.output<typeof holderOfRevocation>
