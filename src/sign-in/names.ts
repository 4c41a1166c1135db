import { ROLES, type Role } from './admin.ts'
import { refuseAdmin } from './admin-refusal.ts'

export const MAX_NAME = 100

/** @throws {AdminRefusal} request_invalid */
export function parseName(name: unknown): string {
  const text = typeof name === 'string' ? name.trim() : ''
  if (text === '' || text.length > MAX_NAME || /\p{C}/u.test(text)) {
    const detail = `expected 1 to ${MAX_NAME} characters without control characters`
    refuseAdmin({ code: 'request_invalid', pointer: '/name', detail })
  }
  return text
}

/** @throws {AdminRefusal} request_invalid */
export function parseRole(role: unknown): Role {
  const known = ROLES.find((each) => each === role)
  if (known !== undefined) return known
  const detail = `expected one of ${ROLES.join(', ')}`
  return refuseAdmin({ code: 'request_invalid', pointer: '/role', detail })
}
