/** `writ sessions watch`: a line for everything that sessions do, as it happens. */
import type { Command } from 'commander'
import { searchedPageOf } from '../admin/schemas/values.ts'
import { type Session, session } from '../admin/schemas.ts'
import { type AdminClient, understood } from './admin-client.ts'
import type { Answer } from './answer.ts'
import { shorten, terminalWidth } from './columns.ts'
import { finish } from './command.ts'
import { followEvents, untilDone } from './event-stream.ts'
import { type AdminOptions, openAdmin } from './open-admin.ts'
import { readPages } from './pages.ts'
import { lastOf, queryOf, type SessionFilters, whoOf } from './sessions.ts'
import { jsonText, printable } from './text.ts'

interface Options extends AdminOptions, SessionFilters {
  json?: boolean
}

/** What is shown at the start, and what is remembered to tell what is new. */
const SHOWN_FIRST = 20
const MAX_REMEMBERED = 10_000

export function addWatch(watch: Command): void {
  watch.description('follow sessions until interrupted; with --json, one object a line')
  finish(watch, 'writ sessions watch --beneath spiffe://corp.example/agents', watchSessions)
}

async function watchSessions(options: Options): Promise<Answer> {
  queryOf(options, 0)
  const admin = await openAdmin(options)
  await follow(admin, options)
  return { json: {}, text: '', printed: true }
}

async function follow(admin: AdminClient, options: Options): Promise<void> {
  const seen = new Map<string, number>()
  const tell = (one: Session) => {
    if (!isWanted(one, options) || !isNews(one, seen)) return
    process.stdout.write(`${options.json ? jsonText({ session: one }) : lineOf(one)}\n`)
  }
  const readAll = async (signal?: AbortSignal) => {
    const query = queryOf(options, Date.now() / 1000)
    const page = searchedPageOf(session)
    const asked = { query, limit: SHOWN_FIRST, signal }
    const found = await readPages(admin, '/v1/sessions', page, asked)
    for (const one of found.items.reverse()) tell(one)
  }
  await readAll()
  // Not before: a signal while the first list is waited for ends the command as it ends any other.
  const stop = new AbortController()
  const { signal } = stop
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())
  // Whoever reads has gone: there is nobody to tell.
  process.stdout.once('close', () => stop.abort())
  const onBreak = (why: string) => process.stderr.write(`writ: ${printable(why)}; trying again\n`)
  const again = { signal, onBreak }
  for await (const { event, data } of followEvents(admin, again)) {
    if (event === 'reset') await untilDone(() => readAll(signal), again)
    if (event !== 'session') continue
    tell(understood(session, data, admin.where))
  }
}

/** By what it does and where it stands; the same told twice is one piece of news. */
function isNews(one: Session, seen: Map<string, number>): boolean {
  const { id, issued, spent, refused, state, lastSeen } = one
  const key = `${id} ${issued} ${spent} ${refused} ${state}`
  if (seen.has(key)) return false
  seen.set(key, lastSeen)
  const [oldest] = seen.keys()
  if (seen.size > MAX_REMEMBERED && oldest !== undefined) seen.delete(oldest)
  return true
}

/** The filters of the API, for what the stream brings without them. */
function isWanted(one: Session, options: Options): boolean {
  const { state, workload, beneath, principal, server, task, address, text } = options
  const { lastAction, identity } = one
  const shown = [
    ...[one.id, one.workload, one.principal, ...one.actors, one.key, one.address, one.task],
    ...[...one.servers, lastAction?.method, lastAction?.name, lastAction?.reason, identity?.issuer],
  ]
  return (
    (state === undefined || one.state === state) &&
    (workload === undefined || one.workload === workload) &&
    (beneath === undefined || one.workload === beneath || one.workload.startsWith(`${beneath}/`)) &&
    (principal === undefined || one.principal === principal) &&
    (server === undefined || one.servers.includes(server)) &&
    (task === undefined || one.task === task) &&
    (address === undefined || one.address === address) &&
    (text === undefined || shown.some((value) => value?.toLowerCase().includes(text.toLowerCase())))
  )
}

function lineOf(one: Session): string {
  const seen = new Date(one.lastSeen * 1000)
  const time = Number.isNaN(seen.getTime()) ? '??:??:??' : seen.toISOString().slice(11, 19)
  const counts = `${one.spent} done ${one.refused} no`
  const line = `${time}  ${one.state.padEnd(7)}  ${counts}  ${whoOf(one)}  ${lastOf(one)}`
  return shorten(printable(line.trimEnd()), terminalWidth(), 'end')
}
