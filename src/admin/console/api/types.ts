/** What the admin API answers with, as far as the console reads it. */
import type { z } from 'zod'
import type { event } from '../../schemas.ts'

export type { Passkey, Role } from '../../../sign-in/admin.ts'
export type {
  AuditEntry,
  AuditPage,
  Decision,
  Health,
  Holder,
  HolderOfRevocation,
  Identities,
  Invited,
  Me,
  NewRevocations,
  Person,
  Policies,
  Preview,
  Revocation,
  RevocationDetail,
  Server,
  ServerDetail,
  Session,
  SessionAction,
  SessionDetail,
  SigningKey,
  Target,
  TouchRequest,
} from '../../schemas.ts'

export interface Page<T> {
  readonly items: readonly T[]
  readonly next: string | null
}

type AdminEvent = z.output<typeof event>

/** What `/v1/events` tells, by the event's name. */
export type LiveEvents = { [E in AdminEvent as E['kind']]: E['data'] }
