/** What one route of the admin API is; the table is `routes.ts`. */
import type { Context } from 'koa'
import type { z } from 'zod'
import type { Admin, Role } from '../sign-in/admin.ts'
import type { EventHub } from './event-hub.ts'
import type { AdminParts } from './parts.ts'

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

/** One request that was let in and understood. */
export interface Call<Q = unknown, B = unknown> {
  readonly parts: AdminParts
  readonly events: EventHub
  readonly admin: Admin
  /** Of the path, percent-decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Q
  readonly body: B
  /** Seconds since the epoch. */
  readonly now: number
  readonly ctx: Context
  /** An earlier attempt at this very request may have done a part of it since this time, seconds. */
  readonly begunAt: number | undefined
}

export interface Answered {
  readonly status: number
  readonly body: unknown
}

/** What a changing request asks for, as the audit tells it; never a credential. */
export interface Asked {
  readonly reason: string
  readonly evidence?: Readonly<Record<string, unknown>>
}

export interface Route {
  readonly method: Method
  /** `{name}` stands for one segment. */
  readonly path: string
  readonly role: Role
  /** One sentence for the OpenAPI document. */
  readonly summary: string
  readonly query?: z.ZodType
  readonly body?: z.ZodType
  /** Of the body of a success; undefined when there is none, or it is no JSON. */
  readonly answer?: z.ZodType
  readonly status: number
  /** Set when it changes something. */
  readonly change?: Change
  /** Answers by itself with another content type. */
  readonly stream?: 'text/event-stream'
  run(call: Call): Promise<unknown>
}

export interface Change {
  /** What has to be right before anything is recorded or changed. */
  check?(call: Call): Promise<void>
  /** What is recorded before anything changes. */
  asked(call: Pick<Call, 'params' | 'body'>): Asked
  /** Whether a request may be named by an `Idempotency-Key`, and whether it must be. */
  readonly key: 'required' | 'accepted' | 'never'
  /** The answer holds something that is told once and kept nowhere. */
  readonly secret?: boolean
}

/** Types a route's parts by its schemas. */
export function route<Q extends z.ZodType = z.ZodUndefined, B extends z.ZodType = z.ZodUndefined>(
  definition: Omit<Route, 'query' | 'body' | 'run' | 'change' | 'status'> & {
    readonly query?: Q
    readonly body?: B
    readonly status?: number
    readonly change?: Omit<Change, 'asked' | 'check'> & {
      check?(call: Call<z.output<Q>, z.output<B>>): Promise<void>
      asked(call: { readonly params: Call['params']; readonly body: z.output<B> }): Asked
    }
    run(call: Call<z.output<Q>, z.output<B>>): Promise<unknown>
  },
): Route {
  return { status: 200, ...definition } as unknown as Route
}
