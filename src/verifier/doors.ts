import { refuse } from '../refusal.ts'
import type { GateRequest } from './request.ts'

/**
 * Which names this server answers to, and which web pages may call it.
 *
 * A page that makes a browser resolve its own name to this server (DNS rebinding) still sends its
 * own `Host` and `Origin`. Programs send no `Origin`, so an absent one passes (MCP Streamable HTTP,
 * "Security"); one that is there must be listed.
 */
export interface Doors {
  readonly hosts: ReadonlySet<string>
  readonly origins: ReadonlySet<string>
}

/** The resource's own host and origin, and what the options add. */
export function doorsOf(
  resource: URL,
  hosts: readonly string[] = [],
  origins: readonly string[] = [],
): Doors {
  const port = resource.protocol === 'https:' ? '443' : '80'
  const own = resource.port === '' ? [resource.host, `${resource.host}:${port}`] : [resource.host]
  return {
    hosts: new Set([...own, ...hosts].map((host) => host.toLowerCase())),
    origins: new Set([resource.origin, ...origins].map((origin) => origin.toLowerCase())),
  }
}

/** @throws {Refusal} origin_refused */
export function checkDoors(request: GateRequest, doors: Doors): void {
  const hosts = request.headers('host')
  if (hosts.length !== 1 || !doors.hosts.has((hosts[0] ?? '').toLowerCase())) {
    refuse({ code: 'origin_refused', header: 'host' })
  }
  for (const origin of request.headers('origin')) {
    if (!doors.origins.has(origin.toLowerCase())) {
      refuse({ code: 'origin_refused', header: 'origin' })
    }
  }
}
