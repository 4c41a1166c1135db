import type { Command } from 'commander'
import { type Health, type Holder, health, holder, listOf, signingKey } from '../admin/schemas.ts'
import { type Answer, CliError } from './answer.ts'
import { type Column, columns, when } from './columns.ts'
import { finish } from './command.ts'
import { type AdminOptions, openAdmin, withAdmin } from './open-admin.ts'
import { instant, table } from './text.ts'

type Key = ReturnType<typeof signingKey.parse>

export function addStatus(root: Command): void {
  const status = withAdmin(root.command('status')).description(
    'whether all is well: the broker, what it depends on, who hears its revocations; 1 when not',
  )
  finish(status, 'writ status', showStatus)
}

async function showStatus(options: AdminOptions): Promise<Answer> {
  const admin = await openAdmin(options)
  const [state, holders, keys] = await Promise.all([
    admin.get('/v1/health', health),
    listed(admin.get('/v1/holders', listOf(holder))),
    listed(admin.get('/v1/keys', listOf(signingKey))),
  ])
  const unknown = [
    ...(holders === undefined ? ['who hears revocations cannot be said now'] : []),
    ...(keys === undefined ? ['which keys there are cannot be said now'] : []),
  ]
  const problems = [...problemsOf(state, holders ?? [], keys), ...unknown]
  return {
    json: { health: state, holders: holders ?? [], keys: keys ?? [], problems },
    text: textOf({ where: admin.where, state, problems }, holders ?? [], keys ?? []),
    exitCode: problems.length === 0 ? 0 : 1,
  }
}

/** What the broker cannot say while something it depends on is away is one more thing that is not well. */
async function listed<T>(asked: Promise<{ items: T[] }>): Promise<T[] | undefined> {
  try {
    return (await asked).items
  } catch (error) {
    if (error instanceof CliError && error.code === 'unavailable') return undefined
    throw error
  }
}

/** What is not well, in words. A holder that is silent may have been stopped on purpose; it is forgotten soon. */
function problemsOf(
  { ready, checks, feed }: Health,
  holders: readonly Holder[],
  keys: readonly Key[] | undefined,
): string[] {
  const failing = Object.entries(checks).filter(([, check]) => check !== 'ok')
  const stale = holders.filter(({ fresh, silent }) => !fresh && !silent)
  const silent = holders.filter((one) => one.silent)
  const lost = holders.filter((one) => one.lost > 0)
  return [
    ...failing.map(([name]) => `${name} is failing`),
    ...(ready || failing.length > 0 ? [] : ['the broker is not ready']),
    ...(feed.fresh ? [] : ['the broker does not hear its own revocation feed']),
    ...stale.map((one) => `${nameOf(one)} does not hear revocations, and refuses everything`),
    ...silent.map(
      (one) => `${nameOf(one)} is silent; one that has ended is forgotten in ten minutes`,
    ),
    ...lost.map((one) => `${nameOf(one)} had to leave out ${one.lost} outcomes`),
    ...(keys?.every(({ state }) => state !== 'signing') ? ['no key signs'] : []),
  ]
}

function nameOf({ id, kind, server }: Holder): string {
  return server === undefined ? `${kind} ${id}` : `${kind} ${id} of ${server}`
}

function textOf(
  { where, state, problems }: { where: string; state: Health; problems: readonly string[] },
  holders: readonly Holder[],
  keys: readonly Key[],
): string {
  const now = state.now
  const facts = table([
    ['broker', where],
    ['ready', state.ready ? 'yes' : 'no'],
    ...Object.entries(state.checks).map(([name, check]): [string, string] => [`  ${name}`, check]),
    ['revocations', `${state.feed.revocations} live`],
    ['policies', state.policyVersion],
    ['catalogue', state.catalogueVersion],
    ...keys
      .filter((key) => key.state !== 'gone')
      .map((key): [string, string] => ['key', keyText(key, now)]),
  ])
  const verdict =
    problems.length === 0 ? ['all is well'] : problems.map((one) => `not well: ${one}`)
  const list = holders.length === 0 ? [] : ['', columns(holders, holderColumns(now))]
  return [...verdict, facts, ...list].join('\n')
}

function keyText({ kid, algorithm, state, signsFrom, goneFrom }: Key, now: number): string {
  const later =
    state === 'published'
      ? `, signs ${when(signsFrom, now)}`
      : goneFrom === undefined
        ? ''
        : `, gone ${instant(goneFrom, now)}`
  return `${kid} ${algorithm} ${state}${later}`
}

function holderColumns(now: number): readonly Column<Holder>[] {
  return [
    { title: 'HOLDER', value: ({ id }) => id, cut: 'middle' },
    { title: 'KIND', value: ({ kind }) => kind, cut: 'never' },
    { title: 'SERVER', value: ({ server }) => server ?? '', cut: 'middle' },
    {
      title: 'HEARS',
      value: (one) => (one.silent ? 'silent' : one.fresh ? 'yes' : 'no'),
      cut: 'never',
    },
    { title: 'HEARD', value: ({ lastHeardAt }) => when(lastHeardAt, now), cut: 'never' },
  ]
}
