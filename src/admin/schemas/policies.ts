import { z } from 'zod'
import { count, text } from './values.ts'

/** The year 9999. */
const MAX_TIME = 253_402_300_799

export const policyFile = z
  .strictObject({ name: text(256), text: z.string().max(262_144) })
  .meta({ id: 'PolicyFile' })

export const policy = z
  .object({
    id: z.string(),
    effect: z.enum(['permit', 'forbid']),
    file: z.string(),
    line: z.number().int(),
    text: z.string(),
    annotations: z.record(z.string(), z.string()).describe('without `id`'),
  })
  .meta({ id: 'Policy' })

export const policies = z
  .object({
    version: z.string().describe('what a decision names as its version'),
    catalogueVersion: z.string(),
    files: z.array(policyFile).describe('as they serve now'),
    policies: z.array(policy),
  })
  .meta({ id: 'Policies' })

export const policyCheck = z
  .strictObject({
    files: z
      .array(policyFile)
      .min(1)
      .max(64)
      .optional()
      .describe("checked in place of the policy directory's files"),
  })
  .meta({ id: 'PolicyCheck' })

export const policyVerdict = z
  .object({
    ok: z.boolean(),
    problems: z.array(z.string()),
    policies: count.describe('how many there are; 0 when they do not load'),
    version: z.string().optional().describe('what they would serve as'),
    serves: z.boolean().describe('whether this is what serves now'),
  })
  .meta({ id: 'PolicyVerdict' })

export const explain = z
  .strictObject({
    workload: text(2048).describe('a SPIFFE ID, or `oidc:<alias>:<subject>`'),
    principal: text(2048).optional().describe('for whom; the workload itself'),
    server: text(2048),
    method: z.enum(['tools/call', 'prompts/get', 'resources/read']).default('tools/call'),
    name: text(2048).optional().describe('without it a session token is asked for'),
    arguments: z.record(z.string(), z.unknown()).optional(),
    task: text(256).optional(),
    address: text(64).optional(),
    at: z.number().min(0).max(MAX_TIME).optional().describe('seconds since the epoch; now'),
    binding: z.enum(['dpop', 'mtls']).default('dpop'),
    attributes: z
      .record(text(128), z.union([z.string().max(2048), z.array(z.string().max(2048)).max(64)]))
      .optional()
      .describe("what the workload's issuer would say of it"),
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
    command: z.string().optional().describe('the same as a command, where there is one'),
  })
  .meta({ id: 'Decision' })

export type PolicyFile = z.output<typeof policyFile>
export type Policy = z.output<typeof policy>
export type Policies = z.output<typeof policies>
export type PolicyVerdict = z.output<typeof policyVerdict>
export type Explain = z.output<typeof explain>
export type Decision = z.output<typeof decision>
