/**
 * A changing request that may be sent twice, because its answer was lost or its sender is not sure.
 *
 * Under the admin and the key a document is made before anything is changed, by one request alone
 * (`create` is atomic); it holds the hash of what is asked and since when. When all is done the answer
 * takes its place. Who comes with the same key and the same request is given that answer; with
 * another request, a conflict; while it is being done, the answer when it comes soon, else a conflict
 * with `Retry-After`.
 *
 * A process that dies in between leaves the document without an answer. After `LEASE_SECONDS` the next
 * one with the same key takes it over (again one alone: `replace` by version), and is told since when
 * a part may have been done, so that it does what is missing and nothing twice.
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashJson } from '../action/hash.ts'
import type { Document, Documents } from '../ledger/documents.ts'
import { encodeBase64url } from '../lib/base64url.ts'
import { type Json, type JsonObject, parseJson } from '../lib/json.ts'
import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import type { Answered } from './route.ts'

const KIND = 'idempotency'
export const KEPT_SECONDS = 24 * 3600
/** Longer than any request takes; who is still at it by then has lost its store. */
const LEASE_SECONDS = 30
const WAIT_MS = 2000
const LOOK_EVERY_MS = 100
/** A document is at most 64 KiB. */
const PART_CHARACTERS = 48_000
const MAX_ANSWER_BYTES = 16 * 1024 * 1024
export const KEY_FORM = /^[\x21-\x7e]{1,255}$/

export interface KeyedRequest {
  readonly admin: string
  readonly key: string
  /** What is asked: method, path and body. */
  readonly request: Json
  /** The answer is told once and not kept: the same request again is a conflict. */
  readonly secret: boolean
}

export interface Keyed {
  readonly documents: Documents
  clock(): number
}

/**
 * Does it once.
 *
 * @param run is given since when (seconds) a part may have been done; undefined the first time
 * @param isNo whether what `run` threw means that nothing has been changed
 * @throws {AdminRefusal} conflict; and whatever `run` throws
 */
export async function once(
  keyed: Keyed,
  request: KeyedRequest,
  run: (begunAt: number | undefined) => Promise<Answered>,
  isNo: (error: unknown) => boolean,
): Promise<Answered> {
  const { documents, clock } = keyed
  const id = createHash('sha256').update(`${request.admin}\n${request.key}`).digest('base64url')
  const hash = hashJson(request.request)
  const found = await begin(keyed, id, hash)
  if ('answer' in found) return found.answer
  const { begunAt, heldUntil, expiresAt } = found
  try {
    const answer = await run(found.again ? begunAt : undefined)
    const kept = request.secret ? undefined : answer
    await finish(documents, id, { hash, begunAt, heldUntil, answer: kept, expiresAt })
    return answer
  } catch (error) {
    const there = await held(documents, id, heldUntil)
    if (there === undefined) throw error
    // Nothing happened, so the key is free again: what has expired is gone. Else whoever is next may
    // begin where this ended.
    const isFree = isNo(error) && !found.again
    const next = isFree ? { expiresAt: 0 } : { expiresAt }
    const value = { hash, begunAt, heldUntil: clock() }
    await documents.replace(KIND, id, there.version, value, next)
    throw error
  }
}

/**
 * The document while it is still ours. Whoever has taken it over since has the say, so what is written
 * in its place replaces this very version of it.
 */
async function held(
  documents: Documents,
  id: string,
  heldUntil: number,
): Promise<Document | undefined> {
  const there = await documents.get(KIND, id)
  return there?.value.heldUntil === heldUntil ? there : undefined
}

type Begun =
  | { readonly answer: Answered }
  | {
      readonly begunAt: number
      readonly heldUntil: number
      readonly again: boolean
      readonly expiresAt: number
    }

async function begin({ documents, clock }: Keyed, id: string, hash: string): Promise<Begun> {
  const until = performance.now() + WAIT_MS
  for (;;) {
    const now = clock()
    const expiresAt = now + KEPT_SECONDS
    const heldUntil = now + LEASE_SECONDS
    const mine = { hash, begunAt: now, heldUntil }
    if (await documents.create(KIND, id, mine, { expiresAt })) {
      return { begunAt: now, heldUntil, again: false, expiresAt }
    }
    const there = await documents.get(KIND, id)
    if (there === undefined) continue
    if (there.value.hash !== hash) {
      refuseAdmin({ code: 'conflict', detail: 'this Idempotency-Key was used for something else' })
    }
    const answer = await answerIn(documents, id, there.value)
    if (answer !== undefined) return { answer }
    const begunAt = Number(there.value.begunAt)
    if (Number(there.value.heldUntil) <= now) {
      const kept = { expiresAt: there.expiresAt ?? expiresAt }
      const held = { hash, begunAt, heldUntil }
      if (await takeOver(documents, there, held, kept)) {
        return { begunAt, heldUntil, again: true, ...kept }
      }
    }
    if (performance.now() > until) throw new StillRunning()
    await sleep(LOOK_EVERY_MS)
  }
}

function takeOver(
  documents: Documents,
  there: Document,
  held: JsonObject,
  kept: { readonly expiresAt: number },
): Promise<boolean> {
  return documents.replace(KIND, there.id, there.version, held, kept)
}

/** The same request is being worked on elsewhere; send it again. */
export class StillRunning extends Error {}

/**
 * The parts first: with the document that names them the answer is there as a whole. They are called
 * after the attempt, so that one that is late writes over no other's.
 */
async function finish(
  documents: Documents,
  id: string,
  done: {
    readonly hash: string
    readonly begunAt: number
    readonly heldUntil: number
    readonly answer: Answered | undefined
    readonly expiresAt: number
  },
): Promise<void> {
  const { hash, begunAt, heldUntil, answer, expiresAt } = done
  const there = await held(documents, id, heldUntil)
  if (there === undefined) return
  if (answer === undefined) {
    const told = { hash, begunAt, heldUntil: 0, secret: true }
    await documents.replace(KIND, id, there.version, told, { expiresAt })
    return
  }
  const text = encodeBase64url(JSON.stringify(answer.body ?? null))
  const parts = Math.ceil(text.length / PART_CHARACTERS)
  for (let part = 0; part < parts; part += 1) {
    const piece = text.slice(part * PART_CHARACTERS, (part + 1) * PART_CHARACTERS)
    await documents.put(
      KIND,
      `${id}.${heldUntil}.${part}`,
      { piece },
      { expiresAt: expiresAt + 60 },
    )
  }
  const value = { hash, begunAt, heldUntil: 0, status: answer.status, parts, of: heldUntil }
  await documents.replace(KIND, id, there.version, value, { expiresAt })
}

async function answerIn(
  documents: Documents,
  id: string,
  value: JsonObject,
): Promise<Answered | undefined> {
  const { status, parts, of, secret } = value
  if (secret === true) {
    refuseAdmin({ code: 'conflict', detail: 'this was done, and its answer is told only once' })
  }
  if (typeof status !== 'number' || typeof parts !== 'number') return undefined
  let text = ''
  for (let part = 0; part < parts; part += 1) {
    const piece = (await documents.get(KIND, `${id}.${of}.${part}`))?.value.piece
    if (typeof piece !== 'string') throw new Error('a part of a kept answer is gone')
    text += piece
  }
  const bytes = Buffer.from(text, 'base64url')
  return { status, body: parseJson(bytes, { maxBytes: MAX_ANSWER_BYTES }) }
}
