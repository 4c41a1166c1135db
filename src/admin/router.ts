import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import type { Route } from './route.ts'

export interface Matched {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
}

/** Finds the one route that a request is for; a segment that is written out goes before a `{name}`. */
export function createRouter(routes: readonly Route[]): (method: string, path: string) => Matched {
  const table = routes.map((route) => ({ route, segments: route.path.split('/') }))
  table.sort((a, b) => wildness(a.segments) - wildness(b.segments))
  return (method, path) => {
    const given = path.split('/')
    const fitting = table.filter(({ segments }) => fits(segments, given))
    const first = fitting[0]
    if (first === undefined) return refuseAdmin({ code: 'not_found', what: 'route' })
    const wanted = method === 'HEAD' ? 'GET' : method
    const found = fitting.find(({ route }) => route.method === wanted)
    if (found === undefined || found.route.path !== first.route.path) {
      const same = fitting.filter(({ route }) => route.path === first.route.path)
      const allowed = same.map(({ route }) => route.method)
      return refuseAdmin({ code: 'method_not_allowed', allowed })
    }
    return { route: found.route, params: paramsOf(found.segments, given) }
  }
}

function fits(segments: readonly string[], given: readonly string[]): boolean {
  if (segments.length !== given.length) return false
  return segments.every((segment, at) =>
    isName(segment) ? given[at] !== '' : segment === given[at],
  )
}

function paramsOf(
  segments: readonly string[],
  given: readonly string[],
): Readonly<Record<string, string>> {
  const names = segments.flatMap((segment, at) =>
    isName(segment) ? [[segment.slice(1, -1), decoded(given[at] ?? '')] as const] : [],
  )
  return Object.fromEntries(names)
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return refuseAdmin({ code: 'not_found', what: 'route' })
  }
}

function isName(segment: string): boolean {
  return segment.startsWith('{')
}

function wildness(segments: readonly string[]): number {
  return segments.filter(isName).length
}
