/**
 * What the admin API says and takes. The OpenAPI document is made from these, the console and the
 * command line take their types from them. Times are seconds since the epoch.
 */
export * from './schemas/audit.ts'
export * from './schemas/events.ts'
export * from './schemas/holders.ts'
export * from './schemas/people.ts'
export * from './schemas/policies.ts'
export * from './schemas/revocations.ts'
export * from './schemas/sessions.ts'
export * from './schemas/system.ts'
export * from './schemas/touch.ts'
export { listOf, pageOf, searchedPageOf } from './schemas/values.ts'
