import { refuse } from '../refusal.ts'
import type { VerifierOptions } from './options.ts'
import type { GateRequest } from './request.ts'

/**
 * At which path and by which names this server answers, and which web pages may call it.
 *
 * A token is for the resource and not for whatever else the same application serves, so a request
 * for any other path is refused whoever sends it.
 *
 * A page that makes a browser resolve its own name to this server (DNS rebinding) still sends its
 * own `Host` and `Origin`. Programs send no `Origin`, so an absent one passes (MCP Streamable HTTP,
 * "Security"); one that is there must be listed.
 */
export interface Doors {
  /** Compared as text with what the client sent, because routers read paths in many ways. */
  readonly paths: ReadonlySet<string>
  readonly hosts: ReadonlySet<string>
  readonly origins: ReadonlySet<string>
}

/**
 * The resource's own path, or what the options put in its place; its own host and origin, and what
 * the options add.
 *
 * @throws {TypeError} paths that no request can have
 */
export function doorsOf(
  resource: URL,
  {
    paths = [resource.pathname],
    allowedHosts: hosts = [],
    allowedOrigins: origins = [],
  }: Pick<VerifierOptions, 'paths' | 'allowedHosts' | 'allowedOrigins'> = {},
): Doors {
  if (paths.length === 0 || !paths.every((path) => /^\/[^?#\s]*$/.test(path))) {
    throw new TypeError('paths: expected at least one path, each from its slash, without a query')
  }
  const port = resource.protocol === 'https:' ? '443' : '80'
  const own = resource.port === '' ? [resource.host, `${resource.host}:${port}`] : [resource.host]
  return {
    paths: new Set(paths),
    hosts: new Set([...own, ...hosts].map((host) => host.toLowerCase())),
    origins: new Set([resource.origin, ...origins].map((origin) => origin.toLowerCase())),
  }
}

/** @throws {Refusal} path_refused, origin_refused */
export function checkDoors(request: GateRequest, doors: Doors): void {
  if (!doors.paths.has(request.path)) refuse({ code: 'path_refused' })
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
