/**
 * What happens at the broker, as it happens. The browser resumes by itself after a short cut
 * (Last-Event-ID); after a longer one this opens a new stream. Whenever one is open, the first as well,
 * whoever shows a list is told to ask for it again (`opened`): what happened since it was asked for, and
 * before the stream began, no event tells.
 */
import { createStore } from '../state/store.ts'
import { askMe } from './client.ts'
import type { LiveEvents } from './types.ts'

export type Stream = 'off' | 'connecting' | 'live' | 'reconnecting'
type Name = keyof LiveEvents
type Told = (value: never) => void

const NAMES: readonly Name[] = ['session', 'revocation', 'holder', 'health', 'reset']
const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 15_000

export const stream = createStore<Stream>('off')

const watchers = new Map<Name | 'opened', Set<Told>>()
let source: EventSource | undefined
let timer: ReturnType<typeof setTimeout> | undefined
let waitMs = FIRST_WAIT_MS

export function onEvent<N extends Name>(name: N, told: (value: LiveEvents[N]) => void): () => void {
  return watch(name, told as Told)
}

/** Told when the stream begins, or is back: something may have been missed. */
export function onOpened(told: () => void): () => void {
  return watch('opened', told as Told)
}

function watch(name: Name | 'opened', told: Told): () => void {
  const set = watchers.get(name) ?? new Set()
  watchers.set(name, set.add(told))
  return () => set.delete(told)
}

function tell(name: Name | 'opened', value: unknown): void {
  for (const told of [...(watchers.get(name) ?? [])]) told(value as never)
}

export function openStream(): () => void {
  const now = () => {
    clearTimeout(timer)
    if (source === undefined || source.readyState === EventSource.CLOSED) connect()
  }
  stream.set('connecting')
  connect()
  addEventListener('online', now)
  return () => {
    removeEventListener('online', now)
    clearTimeout(timer)
    source?.close()
    source = undefined
    stream.set('off')
  }
}

function connect(): void {
  source?.close()
  const opening = new EventSource('/v1/events')
  source = opening
  opening.onopen = () => {
    waitMs = FIRST_WAIT_MS
    stream.set('live')
    tell('opened', undefined)
  }
  opening.onerror = () => {
    stream.set('reconnecting')
    // The browser tries again by itself unless it was answered with something else than a stream.
    if (opening.readyState !== EventSource.CLOSED) return
    void askMe({ background: true }).catch(() => {})
    timer = setTimeout(connect, waitMs)
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
  }
  for (const name of NAMES) {
    opening.addEventListener(name, (event) => {
      try {
        const value: unknown = JSON.parse((event as MessageEvent<string>).data)
        tell(name === 'reset' ? 'opened' : name, value)
      } catch (error) {
        console.error(`the event ${name} cannot be read`, error)
      }
    })
  }
}
