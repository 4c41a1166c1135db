import { z } from 'zod'
import { count, cursorText, limitText, pattern, seconds, secondsText, text } from './values.ts'

export const action = z
  .object({
    at: seconds,
    outcome: z.enum(['issued', 'spent', 'refused']),
    server: z.string().optional(),
    method: z.string().optional(),
    name: z.string().optional(),
    task: z.string().optional(),
    jti: z.string().optional(),
    reason: z.string().optional(),
    address: z.string().optional(),
    arguments: z.unknown().optional().describe('for admins, in the detail of a session only'),
    by: z.string(),
  })
  .meta({ id: 'SessionAction' })

export const SESSION_STATES = ['live', 'idle', 'stopped'] as const

export const session = z
  .object({
    id: z.string(),
    workload: z.string(),
    principal: z.string(),
    actors: z.array(z.string()),
    key: z.string(),
    firstSeen: seconds,
    lastSeen: seconds,
    issued: count,
    spent: count,
    refused: count,
    tokensUntil: seconds,
    address: z.string().optional(),
    task: z.string().optional(),
    servers: z.array(z.string()),
    lastAction: action.optional(),
    identity: z
      .object({
        kind: z.string(),
        issuer: z.string(),
        attributes: z.record(z.string(), z.union([z.string(), z.array(z.string())])),
        endsAt: seconds,
      })
      .optional(),
    state: z
      .enum(SESSION_STATES)
      .describe('live: a token may still be good; idle: none is; stopped: a revocation hits it'),
    stoppedBy: z.array(z.string()).describe('ids of revocations that hit it'),
  })
  .meta({ id: 'Session' })

export const sessionDetail = session
  .extend({ actions: z.array(action).describe('newest first') })
  .meta({ id: 'SessionDetail' })

export const sessionFilter = z.strictObject({
  state: z.enum(SESSION_STATES).optional(),
  workload: text(2048).optional().describe('exactly this workload'),
  beneath: text(2048).optional().describe('this workload id, and every one beneath its path'),
  principal: text(2048).optional(),
  server: text(2048).optional().describe('was last at this MCP server, among others'),
  task: text(256).optional(),
  address: text(64).optional(),
  text: pattern.optional().describe('in anything a list shows'),
  since: secondsText.optional().describe('seen at this time or later'),
  limit: limitText(50, 200),
  cursor: cursorText.optional(),
})

export type Session = z.output<typeof session>
export type SessionDetail = z.output<typeof sessionDetail>
export type SessionAction = z.output<typeof action>
export type SessionFilter = z.output<typeof sessionFilter>
