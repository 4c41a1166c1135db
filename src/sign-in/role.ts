import { ROLES, type Role } from './admin.ts'

/** The highest role that scopes name; undefined when none does. */
export function roleOf(scopes: Iterable<string>): Role | undefined {
  const named = new Set(scopes)
  return ROLES.findLast((role) => named.has(`writ:${role}`))
}

/** The one of two that may do less. */
export function lowerRole(a: Role, b: Role): Role {
  return ROLES.indexOf(a) < ROLES.indexOf(b) ? a : b
}
