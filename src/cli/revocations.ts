import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import {
  pageOf,
  type Revocation,
  type RevocationDetail,
  revocation,
  revocationDetail,
} from '../admin/schemas.ts'
import { commandOf } from '../admin/shell.ts'
import { TARGET_KINDS } from '../revocation/target.ts'
import { targetText } from '../revocation/target-text.ts'
import { type Answer, CliError } from './answer.ts'
import { type Column, columns, when } from './columns.ts'
import { addGroup, asArgument, finish } from './command.ts'
import { type AdminOptions, openAdmin, sameBroker, withAdmin } from './open-admin.ts'
import { parseLimit, readPages } from './pages.ts'
import { instant, printable, table } from './text.ts'
import { revocationOf } from './which.ts'

interface ListOptions extends AdminOptions {
  state?: string
  kind?: string
  text?: string
  limit?: string
}

interface Doer {
  readonly by: string
  /** Of a person that the broker knows. */
  readonly byName?: string | undefined
}

const STATES = ['live', 'ended', 'undone']

export function addRevocations(root: Command): void {
  const revocations = addGroup(root, 'revocations', 'what was stopped, by whom, and who knows it')
  const list = withAdmin(revocations.command('list', { isDefault: true }))
    .description('every revocation, newest first')
    .option('--state <state>', 'live, ended or undone')
    .option('--kind <kind>', `one of ${TARGET_KINDS.join(', ')}`)
    .option('--text <text>', 'with this in the target, the reason, or the id of who did it')
    .option('--limit <n>', 'at most so many, up to 10000', '50')
  finish(list, 'writ revocations list --state live', listRevocations)
  const show = withAdmin(revocations.command('show'))
    .argument('<id>', 'its id, or as much of the beginning as says which')
    .description('one revocation, and which brokers and verifiers have it')
  finish(show, 'writ revocations show 9Jx0aYq3b1mN7cVwZ5tR2g', showRevocation)
  const undo = withAdmin(revocations.command('undo'))
    .argument('<id>', 'its id, or as much of the beginning as says which')
    .description('end a revocation before its time, everywhere')
    .requiredOption('--reason <text>', 'why, for the record')
  finish(
    undo,
    "writ revocations undo 9Jx0aYq3b1mN7cVwZ5tR2g --reason 'false alarm'",
    undoRevocation,
  )
}

async function listRevocations(options: ListOptions): Promise<Answer> {
  const { state, kind, text } = options
  oneOf(state, STATES, 'state')
  oneOf(kind, TARGET_KINDS, 'kind')
  const limit = parseLimit(options.limit)
  const admin = await openAdmin(options)
  const query = { state, kind, text }
  const page = await readPages(admin, '/v1/revocations', pageOf(revocation), { query, limit })
  return { json: { ...page }, text: listText(page.items, page.next, Date.now() / 1000) }
}

/** @throws {CliError} usage */
function oneOf(value: string | undefined, known: readonly string[], what: string): void {
  if (value === undefined || known.includes(value)) return
  throw new CliError('usage', `"${printable(value)}" is no ${what}: ${known.join(', ')}`)
}

function listText(items: readonly Revocation[], next: string | null, now: number): string {
  if (items.length === 0) return 'nothing is revoked'
  const rest =
    next === null ? [] : ['', 'there are more: name what you look for, or a larger --limit']
  return [columns(items, columnsAt(now)), ...rest].join('\n')
}

function columnsAt(now: number): readonly Column<Revocation>[] {
  return [
    { title: 'ID', value: ({ id }) => id, cut: 'never' },
    { title: 'STATE', value: ({ state }) => state, cut: 'never' },
    { title: 'TARGET', value: ({ target }) => targetText(target), cut: 'middle' },
    { title: 'MADE', value: ({ at }) => when(at, now), cut: 'never' },
    { title: 'BY', value: ({ by, byName }: Doer) => byName ?? by, cut: 'middle' },
    { title: 'HAD', value: ({ holders }) => `${holders.holding}/${holders.all}`, cut: 'never' },
  ]
}

async function showRevocation(options: AdminOptions, id = ''): Promise<Answer> {
  const admin = await openAdmin(options)
  const whole = await revocationOf(admin, id)
  const found = await admin.get(`/v1/revocations/${encodeURIComponent(whole)}`, revocationDetail)
  return {
    json: { revocation: found },
    text: detailText(found, Date.now() / 1000, sameBroker(options, admin)),
  }
}

function detailText(found: RevocationDetail, now: number, broker: readonly string[]): string {
  const { holders, undone, until } = found
  const silent = holders.items.filter((one) => one.silent && !one.holds).length
  const facts = table([
    ['id', found.id],
    ['target', targetText(found.target)],
    ['state', found.state],
    ['reason', found.reason],
    ['by', whoDid(found)],
    ['made', instant(found.at, now)],
    ['ends', until === undefined ? 'never' : instant(until, now)],
    ['undone', undone && `${instant(undone.at, now)} by ${whoDid(undone)}: ${undone.reason}`],
    [
      'had by',
      `${holders.holding} of ${holders.all} holders that are heard from${silent === 0 ? '' : `; ${silent} silent`}`,
    ],
    ['undo it', found.canUndo ? undoCommand(found.id, broker) : undefined],
  ])
  if (holders.items.length === 0) return facts
  return [facts, '', columns(holders.items, holderColumns(now))].join('\n')
}

/** The reason is for a person to say. */
function undoCommand(id: string, broker: readonly string[]): string {
  const options = commandOf(...broker)
  return ['writ revocations undo --reason …', options, asArgument(id)].filter(Boolean).join(' ')
}

/** A name is what a person is called; the id says that it is a person. */
function whoDid({ by, byName }: Doer): string {
  return byName === undefined ? by : `${byName} (${by})`
}

function holderColumns(
  now: number,
): readonly Column<RevocationDetail['holders']['items'][number]>[] {
  return [
    { title: 'HOLDER', value: ({ id }) => id, cut: 'middle' },
    { title: 'KIND', value: ({ kind }) => kind, cut: 'never' },
    { title: 'SERVER', value: ({ server }) => server ?? '', cut: 'middle' },
    { title: 'HAS IT', value: ({ holds }) => (holds ? 'yes' : 'no'), cut: 'never' },
    { title: 'HEARD', value: ({ lastHeardAt }) => when(lastHeardAt, now), cut: 'never' },
  ]
}

async function undoRevocation(
  options: AdminOptions & { reason: string },
  id = '',
): Promise<Answer> {
  const admin = await openAdmin(options)
  const whole = await revocationOf(admin, id)
  const path = `/v1/revocations/${encodeURIComponent(whole)}/undo`
  const key = randomUUID()
  const undone = await admin.post(path, revocation, { reason: options.reason }, { key })
  return {
    json: { revocation: undone },
    text: `undone: ${printable(targetText(undone.target))} is not stopped by this any more`,
    done: `it is undone: ${undone.id}`,
  }
}
