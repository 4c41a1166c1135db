/** What the broker stands on: MCP servers, identities, keys, health. */
import { z } from 'zod'
import { count, seconds, text } from './values.ts'

export const definition = z
  .object({
    kind: z.enum(['tool', 'prompt', 'resource', 'resource_template']),
    name: z.string(),
    hash: z.string(),
    readOnly: z.boolean(),
    destructive: z.boolean(),
    argumentsOpen: z.boolean().describe('arguments its schema does not declare may be sent'),
  })
  .meta({ id: 'Definition' })

export const definitionDetail = definition
  .extend({ definition: z.record(z.string(), z.unknown()).describe('the pinned members') })
  .meta({ id: 'DefinitionDetail' })

export const server = z
  .object({
    resource: z.string(),
    name: z.string().describe('what policies call it'),
    spiffeId: z.string().optional(),
    pinnedAt: z.string().describe('RFC 3339'),
    definitions: z.array(definition),
  })
  .meta({ id: 'Server' })

export const serverDetail = server
  .omit({ definitions: true })
  .extend({ definitions: z.array(definitionDetail) })
  .meta({ id: 'ServerDetail' })

export const serverQuery = z.strictObject({ resource: text(2048) })

export const servers = z
  .object({ catalogueVersion: z.string(), items: z.array(server) })
  .meta({ id: 'Servers' })

export const trustDomain = z
  .object({
    name: z.string(),
    source: z.string().describe('file, stream, https_web or https_spiffe'),
    ageSeconds: z.number().optional().describe('how long its source has not confirmed it'),
    sequence: z.string().optional(),
    jwtKeys: count,
    x509Authorities: count,
    problem: z.string().optional(),
  })
  .meta({ id: 'TrustDomain' })

export const issuer = z
  .object({ alias: z.string(), url: z.string(), vouchesFor: z.enum(['workloads', 'users']) })
  .meta({ id: 'Issuer' })

export const seenWorkload = z
  .object({
    id: z.string(),
    kind: z.string().optional(),
    issuer: z.string().optional(),
    sessions: count,
    live: count,
    lastSeen: seconds,
  })
  .meta({ id: 'SeenWorkload' })

export const identities = z
  .object({
    trustDomains: z.array(trustDomain),
    issuers: z.array(issuer),
    workloads: z.array(seenWorkload).describe('seen last, newest first'),
    bounded: z.boolean().describe('there are more sessions than were looked at'),
  })
  .meta({ id: 'Identities' })

export const signingKey = z
  .object({
    kid: z.string(),
    algorithm: z.string(),
    state: z.enum(['published', 'signing', 'retired', 'gone']),
    publishedAt: seconds,
    signsFrom: seconds,
    goneFrom: seconds.optional(),
    jwk: z.record(z.string(), z.unknown()).optional().describe('public; while it is published'),
  })
  .meta({ id: 'SigningKey' })

export const health = z
  .object({
    ready: z.boolean(),
    checks: z.record(z.string(), z.enum(['ok', 'failing'])),
    feed: z.object({ fresh: z.boolean(), revocations: count }),
    policyVersion: z.string(),
    catalogueVersion: z.string(),
    now: seconds,
  })
  .meta({ id: 'Health' })

export type Definition = z.output<typeof definition>
export type Server = z.output<typeof server>
export type ServerDetail = z.output<typeof serverDetail>
export type Identities = z.output<typeof identities>
export type SigningKey = z.output<typeof signingKey>
export type Health = z.output<typeof health>
