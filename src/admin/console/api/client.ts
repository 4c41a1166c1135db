/** The admin API as the browser asks it: same origin, the session's cookie, problems as errors. */
import type { Problem } from '../../schemas.ts'
import { createStore } from '../state/store.ts'
import type { Me } from './types.ts'

export type Signed =
  | { readonly is: 'asking' }
  /** `ended`: by the broker, while somebody was at it. */
  | { readonly is: 'out'; readonly ended: boolean }
  | { readonly is: 'in'; readonly me: Me }

export const signed = createStore<Signed>({ is: 'asking' })

/** What the API said no with; or that it could not be asked (`status` 0). */
export class ApiProblem extends Error {
  readonly status: number
  readonly code: string
  readonly detail: string | undefined
  readonly pointer: string | undefined

  constructor(problem: Partial<Problem> & { status: number }) {
    super(problem.title ?? `the broker answered ${problem.status}`)
    this.name = 'ApiProblem'
    this.status = problem.status
    this.code = problem.code ?? 'unknown'
    this.detail = problem.detail
    this.pointer = problem.pointer
  }
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface Ask {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly query?: Query
  readonly body?: unknown
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
  /** Nobody did anything for it: it must not keep the sign-in from going idle. */
  readonly background?: boolean
}

function addressOf(path: string, query: Query = {}): string {
  const text = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') text.set(name, String(value))
  }
  return text.size === 0 ? `/v1${path}` : `/v1${path}?${text}`
}

/** @throws {ApiProblem} whatever goes wrong; an aborted request rejects with its `AbortError` */
export async function ask<T>(path: string, options: Ask = {}): Promise<T> {
  const { method = 'GET', query, body, idempotencyKey, signal, background } = options
  const headers: Record<string, string> = { accept: 'application/json, application/problem+json' }
  const now = signed.get()
  if (method !== 'GET' && now.is === 'in' && now.me.csrf) headers['x-writ-csrf'] = now.me.csrf
  if (background) headers['x-writ-background'] = '1'
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey
  const response = await reach(addressOf(path, query), {
    method,
    headers,
    credentials: 'same-origin',
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  })
  const { is } = signed.get()
  if (response.status === 401 && is !== 'out') signed.set({ is: 'out', ended: is === 'in' })
  if (response.ok) return (response.status === 204 ? undefined : await whole(response)) as T
  const problem = (await response.json().catch(() => {})) as Partial<Problem> | undefined
  throw new ApiProblem({ ...problem, status: response.status })
}

/** What was cut off is no answer: whoever asked must not take it for an empty one. */
async function whole(response: Response): Promise<unknown> {
  try {
    return await response.json()
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiProblem({
      status: 0,
      code: 'cut_off',
      title: 'The answer of the broker was cut off',
      detail: 'What was asked may have been done.',
    })
  }
}

async function reach(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiProblem({
      status: 0,
      code: 'unreachable',
      title: 'The broker cannot be reached',
      detail: 'Is it running, and is this machine still connected to it?',
    })
  }
}

/** Asks who is signed in; the rest of the console waits for it. */
export async function askMe(options: Pick<Ask, 'background'> = {}): Promise<void> {
  const before = signed.get().is
  try {
    const me = await ask<Me>('/me', options)
    // Who has signed out meanwhile is not signed in by an answer from before.
    if (before === 'out' || signed.get().is !== 'out') signed.set({ is: 'in', me })
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.status !== 401) throw error
  }
}
