/**
 * What the admin API says and takes. The OpenAPI document is made from these, the console and the
 * command line take their types from them. Times are seconds since the epoch.
 */
import { z } from 'zod'

const seconds = z.number().describe('seconds since the epoch')
const text = (max: number) => z.string().min(1).max(max)

export const TARGET_KINDS = [
  'jti',
  'session',
  'agent',
  'principal',
  'task',
  'key',
  'server',
  'issuer',
  'before',
] as const

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

export const revocation = z
  .object({
    id: z.string(),
    target,
    at: seconds,
    until: seconds.optional(),
    reason: z.string(),
    by: z.string().describe('who: person:…, client:…, local:… or cli:…'),
    state: z.enum(['live', 'ended', 'undone']),
    undone: z.object({ at: seconds, reason: z.string(), by: z.string() }).optional(),
    canUndo: z.boolean(),
    holders: z
      .object({ holding: z.number().int(), all: z.number().int() })
      .describe('how many of the holders that are heard from have it'),
  })
  .meta({ id: 'Revocation' })

export const holder = z
  .object({
    id: z.string(),
    kind: z.enum(['broker', 'verifier', 'gateway']),
    server: z.string().optional().describe("the MCP server's resource URI; not for brokers"),
    client: z.string().optional().describe('the client that reports for it'),
    lastHeardAt: seconds,
    fresh: z.boolean().describe('whether it hears the feed within its bound'),
    lost: z.number().int().describe('outcomes it had to leave out'),
  })
  .meta({ id: 'Holder' })

export const holderOfRevocation = holder
  .extend({ holds: z.boolean().describe('whether it has acknowledged this revocation') })
  .meta({ id: 'HolderOfRevocation' })

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
    arguments: z.unknown().optional(),
    by: z.string(),
  })
  .meta({ id: 'SessionAction' })

export const session = z
  .object({
    id: z.string(),
    workload: z.string(),
    principal: z.string(),
    actors: z.array(z.string()),
    key: z.string(),
    firstSeen: seconds,
    lastSeen: seconds,
    issued: z.number().int(),
    spent: z.number().int(),
    refused: z.number().int(),
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
      .enum(['live', 'idle', 'stopped'])
      .describe('live: a token may still be good; idle: none is; stopped: a revocation hits it'),
    stoppedBy: z.array(z.string()).describe('ids of the revocations that hit it'),
  })
  .meta({ id: 'Session' })

export const sessionDetail = session
  .extend({ actions: z.array(action).describe('newest first') })
  .meta({ id: 'SessionDetail' })

export const newRevocations = z
  .strictObject({
    targets: z.array(target).min(1).max(200),
    reason: text(1024).describe('why, for the record'),
    until: seconds.optional().describe('when it ends by itself; never, when not given'),
    touch: z
      .unknown()
      .optional()
      .describe('a fresh passkey touch for exactly this, when it is wide'),
  })
  .meta({ id: 'NewRevocations' })

export const preview = z
  .object({
    sessions: z.number().int().describe('live sessions this would stop now'),
    workloads: z.array(z.string()).describe('theirs, at most 100'),
    servers: z.array(z.string()),
    wide: z.boolean().describe('whether a person has to touch a passkey for it'),
    command: z.string().describe('the same as a command'),
  })
  .meta({ id: 'Preview' })

export const undo = z.strictObject({ reason: text(1024) }).meta({ id: 'Undo' })

export const explain = z
  .strictObject({
    workload: text(2048),
    principal: text(2048).optional(),
    server: text(2048),
    method: z.enum(['tools/call', 'prompts/get', 'resources/read']).default('tools/call'),
    name: text(2048).optional().describe('without it a session token is asked for'),
    arguments: z.record(z.string(), z.unknown()).optional(),
    task: text(256).optional(),
    address: z.string().optional(),
    at: seconds.optional(),
    binding: z.enum(['dpop', 'mtls']).default('dpop'),
  })
  .meta({ id: 'Explain' })

export const decision = z
  .object({
    effect: z.enum(['permit', 'ask', 'deny']),
    policies: z.array(z.string()),
    policyVersion: z.string().optional(),
    lifetimeSeconds: z.number().optional(),
    binding: z.string().optional(),
    maxUses: z.number().optional(),
    reason: z.string().optional().describe('when refused before any policy was asked'),
    evidence: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: 'Decision' })

export const problem = z
  .object({
    type: z.string().describe('a URI that names the kind of problem'),
    title: z.string(),
    status: z.number().int(),
    detail: z.string().optional(),
    code: z.string(),
    pointer: z.string().optional(),
  })
  .meta({ id: 'Problem' })

/** A page of a list; `next` is the cursor of the one after it, null at the end. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next: z.string().nullable() })

export type Target = z.output<typeof target>
export type Revocation = z.output<typeof revocation>
export type Holder = z.output<typeof holder>
export type HolderOfRevocation = z.output<typeof holderOfRevocation>
export type Session = z.output<typeof session>
export type SessionDetail = z.output<typeof sessionDetail>
export type SessionAction = z.output<typeof action>
export type NewRevocations = z.output<typeof newRevocations>
export type Preview = z.output<typeof preview>
export type Decision = z.output<typeof decision>
export type Problem = z.output<typeof problem>
