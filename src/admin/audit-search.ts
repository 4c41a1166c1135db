/**
 * Searches this broker's own audit files, newest first: the files by the time in their names, each
 * from its end. A cursor names a file and a place in it; lines are only ever added after it.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isJsonObject, JsonError, type JsonObject, parseJson } from '../lib/json.ts'
import { backwardLines } from './backward-lines.ts'
import { cursorOf, type Place, parseCursor, refuseCursor } from './cursor.ts'
import { type AuditFilter, type AuditPage, OUTCOMES } from './schemas/audit.ts'

/** Looked at for one page of an answer. */
const MOST_LINES = 20_000
const MOST_BYTES = 16 * 1024 * 1024
/** `<origin>.<start time>.<pid>-<random>.jsonl`, as `audit/file.ts` names them. */
const FILE = /^[A-Za-z0-9.-]{1,200}\.jsonl$/
const STARTED = /\.(\d{8}T\d{6}(?:\.\d{3})?Z)\.[^.]+\.jsonl$/

/** The event that a search is recorded as. */
export const AUDIT_SEARCHED = 'audit_searched'

export interface Search {
  readonly directory: string
  readonly filter: AuditFilter
  /** Names this search in its cursors; no other takes them. */
  readonly list: string
  /** Whether who asks may see argument values, and find by them. */
  readonly withArguments: boolean
}

type Entry = AuditPage['items'][number]

/** @throws {AdminRefusal} request_invalid for a cursor of another search */
export async function searchAudit({
  directory,
  filter,
  list,
  withArguments,
}: Search): Promise<AuditPage> {
  const place = parseCursor(list, filter.cursor)
  const matches = matcher(filter)
  const items: Entry[] = []
  let broken = 0
  let lines = 0
  let bytes = 0
  for (const { name, end } of await filesFrom(directory, place)) {
    for await (const line of linesOf(join(directory, name), end)) {
      lines += 1
      bytes += line.length
      const record = line.bytes && entryOf(line.bytes, withArguments)
      if (record === undefined) broken += 1
      else if (matches(record)) items.push(record as Entry)
      const bounded = lines >= MOST_LINES || bytes >= MOST_BYTES
      if (items.length >= filter.limit || bounded) {
        const next = cursorOf(list, { order: line.start, id: name })
        return { items, next, bounded: bounded && items.length < filter.limit, broken }
      }
    }
  }
  return { items, next: null, bounded: false, broken }
}

async function* linesOf(file: string, end: number | undefined) {
  try {
    yield* backwardLines(file, end)
  } catch (error) {
    if (error instanceof RangeError) refuseCursor()
    // Somebody moved it away, to keep it elsewhere.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** Newest first; from the cursor's on, when there is one. */
async function filesFrom(
  directory: string,
  place: Place | undefined,
): Promise<{ readonly name: string; readonly end: number | undefined }[]> {
  const names = (await readdir(directory)).filter((name) => FILE.test(name))
  names.sort((a, b) => (startOf(a) < startOf(b) || (startOf(a) === startOf(b) && a < b) ? 1 : -1))
  if (place === undefined) return names.map((name) => ({ name, end: undefined }))
  const at = names.indexOf(place.id)
  if (at === -1 || !Number.isSafeInteger(place.order) || place.order < 0) refuseCursor()
  return names.slice(at).map((name, i) => ({ name, end: i === 0 ? place.order : undefined }))
}

function startOf(name: string): string {
  return STARTED.exec(name)?.[1] ?? ''
}

/** One line, strictly; `undefined` for what is no record. */
function entryOf(bytes: Buffer, withArguments: boolean): JsonObject | undefined {
  try {
    const json = parseJson(bytes, { maxBytes: bytes.length, maxDepth: 128 })
    if (!isJsonObject(json) || !isRecord(json)) return undefined
    if (withArguments) return json
    const { arguments: _hidden, ceiling: _also, ...told } = json
    return withoutHidden(told)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return undefined
  }
}

/** By the reason of a record: what an admin looked for may be a value of an argument, and who people are is for admins. */
const HIDDEN: Readonly<Record<string, readonly string[]>> = {
  [AUDIT_SEARCHED]: ['text'],
  invite_person: ['name'],
  person_invited: ['name'],
  passkey_enrolled: ['name', 'label'],
}

function withoutHidden(record: JsonObject): JsonObject {
  const { reason, evidence } = record
  const hidden = Object.hasOwn(HIDDEN, String(reason)) ? HIDDEN[String(reason)] : undefined
  if (hidden === undefined || !isJsonObject(evidence)) return record
  const told = Object.entries(evidence).filter(([member]) => !hidden.includes(member))
  return { ...record, evidence: Object.fromEntries(told) }
}

const TEXTS = ['reason', 'workload', 'principal', 'session', 'server', 'method', 'name'] as const

function isRecord(json: JsonObject): boolean {
  const { time, door, outcome, evidence } = json
  return (
    typeof time === 'string' &&
    !Number.isNaN(Date.parse(time)) &&
    typeof door === 'string' &&
    OUTCOMES.some((known) => known === outcome) &&
    (evidence === undefined || isJsonObject(evidence)) &&
    [...TEXTS, 'jti', 'by', 'address'].every(
      (member) => json[member] === undefined || typeof json[member] === 'string',
    )
  )
}

/** Looks at what will be shown and at nothing else, or the text could be guessed bit by bit. */
function matcher(filter: AuditFilter): (record: JsonObject) => boolean {
  const { outcome, workload, session, reason, door, by, from, to } = filter
  const sought = filter.text?.toLowerCase()
  return (record) => {
    const at = Date.parse(String(record.time)) / 1000
    return (
      (outcome === undefined || record.outcome === outcome) &&
      (workload === undefined || record.workload === workload) &&
      (session === undefined || record.session === session) &&
      (reason === undefined || record.reason === reason) &&
      (door === undefined || record.door === door) &&
      (by === undefined || record.by === by) &&
      (from === undefined || at >= from) &&
      (to === undefined || at < to) &&
      (sought === undefined || textOf(record).includes(sought))
    )
  }
}

/** All its values, whatever JSON does to their characters. */
function textOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value).toLowerCase()
  return Object.values(value).map(textOf).join('\n')
}
