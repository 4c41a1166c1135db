import type { Command } from 'commander'
import { searchedPageOf } from '../admin/schemas/values.ts'
import { type Session, type SessionDetail, session, sessionDetail } from '../admin/schemas.ts'
import { commandOf } from '../admin/shell.ts'
import { targetText } from '../revocation/target-text.ts'
import { type Answer, CliError } from './answer.ts'
import { type Column, columns, when } from './columns.ts'
import { addGroup, finish, parseDuration } from './command.ts'
import { type AdminOptions, openAdmin, sameBroker, withAdmin } from './open-admin.ts'
import { parseLimit, readPages } from './pages.ts'
import { addWatch } from './sessions-watch.ts'
import { instant, printable, table } from './text.ts'
import { sessionOf } from './which.ts'

export interface SessionFilters {
  state?: string
  workload?: string
  beneath?: string
  principal?: string
  server?: string
  task?: string
  address?: string
  text?: string
  seen?: string
}

interface ListOptions extends AdminOptions, SessionFilters {
  limit?: string
}

/** A session's id is a hash of 43 characters; so many are shown in lists, and enough to name it. */
const SHORT_ID = 12

export function addSessions(root: Command): void {
  const sessions = addGroup(root, 'sessions', 'who acts, and what they do')
  const list = withFilters(withAdmin(sessions.command('list')))
    .description('sessions, last seen first')
    .option('--limit <n>', 'at most so many, up to 10000', '50')
  finish(
    list,
    'writ sessions list --state live --beneath spiffe://corp.example/agents',
    listSessions,
  )
  const show = withAdmin(sessions.command('show'))
    .argument('<id>', 'its id, or as much of the beginning as says which')
    .description('one session and its last actions')
  finish(show, 'writ sessions show 3fQxYw0dLm2P', showSession)
  addWatch(withFilters(withAdmin(sessions.command('watch'))))
}

function withFilters(command: Command): Command {
  return command
    .option('--state <state>', 'live, idle or stopped')
    .option('--workload <id>', 'exactly this workload')
    .option('--beneath <id>', 'this workload id and every one beneath its path')
    .option('--principal <id>', 'on whose behalf')
    .option('--server <uri>', 'was at this MCP server')
    .option('--task <label>', 'in this task')
    .option('--address <ip>', 'from this address')
    .option('--text <text>', 'with this in anything that a list shows')
    .option('--seen <duration>', 'seen in the last 15m, 2h, 7d …')
}

/** @throws {CliError} usage */
export function queryOf(filters: SessionFilters, now: number) {
  const { seen, state, workload, beneath, principal, server, task, address, text } = filters
  if (state !== undefined && !['live', 'idle', 'stopped'].includes(state)) {
    throw new CliError('usage', `"${printable(state)}" is no state: live, idle or stopped`)
  }
  const since = seen === undefined ? undefined : Math.floor(now - parseDuration(seen, '15m or 2h'))
  return { state, workload, beneath, principal, server, task, address, text, since }
}

async function listSessions(options: ListOptions): Promise<Answer> {
  const now = Date.now() / 1000
  const query = queryOf(options, now)
  const limit = parseLimit(options.limit)
  const admin = await openAdmin(options)
  const page = searchedPageOf(session)
  const { items, next } = await readPages(admin, '/v1/sessions', page, { query, limit })
  return { json: { items, next }, text: listText(items, next, now) }
}

function listText(items: readonly Session[], next: string | null, now: number): string {
  if (items.length === 0) return 'no sessions'
  const rest =
    next === null ? [] : ['', 'there are more: name what you look for, or a larger --limit']
  return [columns(items, sessionColumns(now)), ...rest].join('\n')
}

function sessionColumns(now: number): readonly Column<Session>[] {
  return [
    { title: 'ID', value: ({ id }) => id.slice(0, SHORT_ID), cut: 'never' },
    { title: 'STATE', value: ({ state }) => state, cut: 'never' },
    { title: 'AGENT', value: whoOf, cut: 'middle' },
    { title: 'SEEN', value: ({ lastSeen }) => when(lastSeen, now), cut: 'never' },
    { title: 'DONE', value: ({ spent }) => String(spent), cut: 'never', align: 'right' },
    { title: 'NO', value: ({ refused }) => String(refused), cut: 'never', align: 'right' },
    { title: 'LAST', value: lastOf, cut: 'end' },
  ]
}

/** The workload, and for whom when that is somebody else. */
export function whoOf({ workload, principal }: Session): string {
  return principal === workload ? workload : `${workload} for ${principal}`
}

export function lastOf({ lastAction }: Session): string {
  if (lastAction === undefined) return ''
  const { outcome, method, name, reason } = lastAction
  const what = name ?? method
  if (outcome !== 'refused') return what ?? outcome
  const why = `refused: ${reason?.replaceAll('_', ' ') ?? ''}`
  return what === undefined ? why : `${what} ${why}`
}

async function showSession(options: AdminOptions, named = ''): Promise<Answer> {
  const admin = await openAdmin(options)
  const id = await sessionOf(admin, named)
  const found = await admin.get(`/v1/sessions/${encodeURIComponent(id)}`, sessionDetail)
  return {
    json: { session: found },
    text: detailText(found, Date.now() / 1000, sameBroker(options, admin)),
  }
}

/**
 * Ids are what somebody else calls itself: what is to be copied into a shell has to be quoted.
 *
 * @param broker the options that name it: the commands shown are for the same one
 */
export function detailText(found: SessionDetail, now: number, broker: readonly string[]): string {
  const { identity } = found
  const stop = (target: string) => commandOf('writ', 'revoke', target, ...broker)
  const agent =
    found.principal === found.workload
      ? { kind: 'agent' as const, value: found.workload }
      : { kind: 'agent' as const, value: found.workload, principal: found.principal }
  const facts = table([
    ['id', found.id],
    ['state', found.state],
    ['stopped by', found.stoppedBy.length === 0 ? undefined : found.stoppedBy.join(', ')],
    ['agent', found.workload],
    ['on behalf of', found.principal === found.workload ? undefined : found.principal],
    ['acted before', found.actors.length <= 1 ? undefined : found.actors.slice(1).join(', ')],
    ['key', found.key],
    ['proved by', identity === undefined ? undefined : `${identity.kind} of ${identity.issuer}`],
    ...Object.entries(identity?.attributes ?? {}).map(([name, value]): [string, string] => [
      `  ${printable(name)}`,
      [value].flat().join(', '),
    ]),
    ['address', found.address],
    ['task', found.task],
    ['servers', found.servers.join(', ')],
    ['first seen', instant(found.firstSeen, now)],
    ['last seen', instant(found.lastSeen, now)],
    ['tokens', `${found.issued} issued, ${found.spent} spent, ${found.refused} refused`],
    ['good until', found.tokensUntil === 0 ? undefined : instant(found.tokensUntil, now)],
    ['stop it', stop(targetText(agent))],
    ['only its key', stop(`key:${found.key}`)],
  ])
  if (found.actions.length === 0) return facts
  return [facts, '', columns(found.actions, actionColumns(now))].join('\n')
}

function actionColumns(now: number): readonly Column<SessionDetail['actions'][number]>[] {
  return [
    { title: 'WHEN', value: ({ at }) => when(at, now), cut: 'never' },
    { title: 'OUTCOME', value: ({ outcome }) => outcome, cut: 'never' },
    {
      title: 'WHAT',
      value: ({ method = '', name = '' }) => `${method} ${name}`.trim(),
      cut: 'end',
    },
    { title: 'SERVER', value: ({ server }) => server ?? '', cut: 'middle' },
    { title: 'WHY', value: ({ reason }) => reason?.replaceAll('_', ' ') ?? '', cut: 'end' },
    { title: 'ARGUMENTS', value: (one) => argumentsOf(one.arguments), cut: 'end' },
  ]
}

function argumentsOf(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value)
}
