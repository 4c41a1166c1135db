import type { Context, Middleware } from 'koa'

/** What someone may do; each role may do what the ones before it may. */
export type Role = 'viewer' | 'approver' | 'admin'
export const ROLES: readonly Role[] = ['viewer', 'approver', 'admin']

/** Who asks on the admin side. */
export interface Admin {
  /** `person:<id>`, `client:<client id>`, or `local:<user name>` on the control socket. */
  readonly id: string
  /** For people to read. */
  readonly name: string
  readonly kind: 'person' | 'client' | 'local'
  readonly role: Role
  /** When this person last touched a passkey, seconds since the epoch; undefined for programs. */
  readonly touchedAt: number | undefined
  /** Set for a browser session: what a changing request has to send back in `X-Writ-Csrf`. */
  readonly csrf: string | undefined
}

/** Whether the caller of the admin side is who may ask. */
export interface SignIn {
  /**
   * A browser's session cookie, or a DPoP-bound access token (a person's from the device flow, a
   * client's from client credentials). A cookie is only believed with the defences against other
   * pages: `Origin`, `Sec-Fetch-Site`, and the CSRF value for everything but GET and HEAD.
   *
   * @throws {AdminRefusal} signin_required, page_refused
   * @throws {Refusal} ledger_unavailable, revocations_stale
   */
  authenticate(ctx: Context): Promise<Admin>
  /** Everything beneath `/sign-in`, `/oauth` and the metadata; calls `next` for all else. */
  readonly routes: Middleware
  readonly touch: Touch
  readonly people: People
}

/** A fresh touch of a passkey for one exact action, whose hash is in its challenge. */
export interface Touch {
  /** Options for `navigator.credentials.get`, good for two minutes and once. */
  options(admin: Admin, actionHash: string): Promise<Record<string, unknown>>
  /** @throws {Refusal} touch_required when it is not a touch for exactly this, by this person, now */
  verify(admin: Admin, actionHash: string, assertion: unknown): Promise<void>
}

export interface Person {
  readonly id: string
  readonly name: string
  readonly role: Role
  /** Seconds since the epoch. */
  readonly createdAt: number
  readonly lastSignInAt: number | undefined
  readonly passkeys: readonly Passkey[]
}

export interface Passkey {
  readonly id: string
  readonly label: string
  readonly createdAt: number
  readonly lastUsedAt: number | undefined
  readonly backedUp: boolean
}

/**
 * Who may sign in. Every change is in the audit. Whether somebody touched a passkey for it is for the
 * caller to have checked.
 */
export interface People {
  list(): Promise<readonly Person[]>
  /** A one-time link, good for an hour, with which someone enrols a passkey of their own. */
  invite(
    invitation: { name: string; role: Role },
    by: Admin,
  ): Promise<{ url: string; expiresAt: number }>
  /** Another passkey for someone who is there. */
  inviteAgain(person: string, by: Admin): Promise<{ url: string; expiresAt: number }>
  setRole(person: string, role: Role, by: Admin): Promise<void>
  /** Ends their sign-ins at once. @throws {Refusal} last_admin */
  remove(person: string, by: Admin): Promise<void>
  removePasskey(person: string, passkey: string, by: Admin): Promise<void>
}
