/** What the broker stands on: MCP servers, identities, keys, health. */
import type { PinnedDefinition, PinnedServer } from '../catalogue/catalogue.ts'
import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import { identitiesOf } from './identities.ts'
import type { AdminParts } from './parts.ts'
import { type Route, route } from './route.ts'
import {
  type Definition,
  type Health,
  health,
  identities,
  type SigningKey,
  serverDetail,
  serverQuery,
  servers,
  signingKey,
} from './schemas/system.ts'
import { listOf } from './schemas/values.ts'

export const systemRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/servers',
    role: 'viewer',
    summary: 'The MCP servers of the catalogue and what is pinned of each',
    answer: servers,
    async run({ parts }) {
      const catalogue = parts.catalogue()
      return {
        catalogueVersion: catalogue.version,
        items: [...catalogue.servers.values()].map((server) => ({
          ...serverOf(server),
          definitions: pinnedOf(server).map(definitionOf),
        })),
      }
    },
  }),
  route({
    method: 'GET',
    path: '/v1/servers/detail',
    role: 'viewer',
    summary: 'One MCP server with the whole text of each pinned definition',
    query: serverQuery,
    answer: serverDetail,
    async run({ parts, query }) {
      const server = parts.catalogue().servers.get(query.resource)
      if (server === undefined) return refuseAdmin({ code: 'not_found', what: 'server' })
      const definitions = pinnedOf(server).map((pinned) => ({
        ...definitionOf(pinned),
        definition: { ...pinned.definition },
      }))
      return { ...serverOf(server), definitions }
    },
  }),
  route({
    method: 'GET',
    path: '/v1/identities',
    role: 'viewer',
    summary: 'Trust domains, issuers, and the workloads that were seen last',
    answer: identities,
    run: ({ parts, now }) => identitiesOf(parts, now),
  }),
  route({
    method: 'GET',
    path: '/v1/keys',
    role: 'viewer',
    summary: "The broker's public keys, and where each is in its life",
    answer: listOf(signingKey),
    run: async ({ parts, now }) => ({ items: keysOf(parts, now) }),
  }),
  route({
    method: 'GET',
    path: '/v1/health',
    role: 'viewer',
    summary: 'Whether everything that an exchange depends on works',
    answer: health,
    run: ({ parts, now }) => healthOf(parts, now),
  }),
]

export async function healthOf(parts: AdminParts, now: number): Promise<Health> {
  const { ready, checks } = await parts.health()
  const { fresh } = parts.revocations
  return {
    ready,
    checks: { ...checks },
    feed: { fresh, revocations: parts.revocations.list().length },
    policyVersion: parts.policies.version,
    catalogueVersion: parts.catalogue().version,
    now,
  }
}

function keysOf({ keys }: AdminParts, now: number): SigningKey[] {
  const published = new Map(keys.jwks(now).keys.map((jwk) => [String(jwk.kid), jwk]))
  return keys.states(now).map(({ goneFrom, ...key }) => {
    const jwk = published.get(key.kid)
    return {
      ...key,
      ...(goneFrom === undefined ? {} : { goneFrom }),
      ...(jwk === undefined ? {} : { jwk: { ...jwk } }),
    }
  })
}

function serverOf({ name, resource, spiffeId, pinnedAt }: PinnedServer) {
  return { resource, name, ...(spiffeId === undefined ? {} : { spiffeId }), pinnedAt }
}

function pinnedOf(server: PinnedServer): PinnedDefinition[] {
  return [
    ...server.tools.values(),
    ...server.prompts.values(),
    ...server.resources.values(),
    ...server.resourceTemplates.map(({ definition }) => definition),
  ]
}

function definitionOf({
  kind,
  name,
  hash,
  argumentsOpen,
  annotations,
}: PinnedDefinition): Definition {
  const { readOnly, destructive } = annotations
  return { kind, name, hash, readOnly, destructive, argumentsOpen }
}
