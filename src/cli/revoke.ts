import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import type { Revocation } from '../revocation/target.ts'
import { targetText } from '../revocation/target-text.ts'
import type { AdminClient } from './admin-client.ts'
import { type Answer, CliError } from './answer.ts'
import { finish } from './command.ts'
import { userName } from './control.ts'
import { brokerHere, configHere, type Here, openAdmin, withAdmin } from './open-admin.ts'
import {
  countHits,
  type Hits,
  hitsJson,
  hitsOf,
  idle,
  isCounted,
  preview,
  warnOfIdle,
} from './revoke-preview.ts'
import { type Held, waitForHolders } from './revoke-wait.ts'
import { parseWish, type RevokeOptions, type Wish } from './revoke-wish.ts'
import { instant, printable, table } from './text.ts'
import { wholeTargets } from './which.ts'

/** Who does it: a broker that is asked, or this process, with the keys and the store of a configuration. */
type Way =
  | { readonly admin: AdminClient; readonly config?: undefined }
  | { readonly admin?: undefined; readonly config: NonNullable<Here['config']> }

interface Done {
  readonly revocations: readonly Revocation[]
  readonly through: 'broker' | 'url' | 'store'
  readonly where: string
  readonly hits?: Hits | undefined
}

export function addRevoke(root: Command): void {
  const revoke = withAdmin(root.command('revoke'))
    .argument(
      '<target...>',
      'jti:…, session:… (or the beginning of its id), agent:… (with /* at the end: all beneath), principal:…, task:…, key:…, server:…, issuer:…, before:…',
    )
    .description(
      'stop tokens, sessions, agents, principals, tasks, keys, servers or issuers, everywhere',
    )
    .option('--reason <text>', 'why, for the record')
    .option('--for <duration>', 'end it by itself after 15m, 2h, 7d …; without, it never ends')
    .option('--until <time>', 'end it by itself at this time, as in 2026-01-31T08:00:00Z')
    .option('--dry-run', 'only say what it would stop')
    .option('--wait', 'until every verifier and broker that is heard from has it')
  const example = "writ revoke 'agent:spiffe://corp.example/agents/*' --for 1h --wait"
  finish(revoke, example, (options: RevokeOptions, targets) =>
    revokeTargets(options, [targets ?? []].flat()),
  )
}

/**
 * Asks a broker to revoke. When none runs here and no other is named, the entries are signed and put
 * into the configured store by this process, so that brokers elsewhere (Redis) and the next start
 * (SQLite) find them.
 */
async function revokeTargets(options: RevokeOptions, texts: readonly string[]): Promise<Answer> {
  const now = Date.now() / 1000
  const asked = parseWish(options, texts, now)
  const way = options.dryRun ? { admin: await openAdmin(options) } : await wayOf(options)
  const wish = { ...asked, targets: await wholeTargets(way.admin, asked.targets) }
  if (way.admin === undefined) {
    const done = await throughStore(way.config, wish)
    if (!options.wait) return answerOf(done, now)
    throw new CliError(
      'unavailable',
      `${saidOf(done)}, but no broker runs here to ask who has it`,
      {
        hint: 'they have it when a broker runs; without --wait the command ends here',
      },
    )
  }
  if (options.dryRun) return await preview(way.admin, options, wish)
  const hits = await countHits(way.admin, wish.targets)
  const done = { ...(await throughApi(way.admin, wish)), hits }
  warnOfIdle(idle(hits, wish.targets))
  if (!options.wait) return answerOf(done, now)
  return answerOf(done, now, await waited(way.admin, done))
}

/** @throws {CliError} that says first what is done: who is told only that it failed stops it again */
async function waited(admin: AdminClient, done: Done): Promise<Held> {
  try {
    return await waitForHolders(admin, done.revocations)
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    const { code, message, hint } = error
    const more = hint === undefined ? {} : { hint }
    throw new CliError(code, `${saidOf(done)}, but ${message}`, { ...more, cause: error })
  }
}

function saidOf({ revocations }: Done): string {
  return `it is revoked: ${revocations.map(({ id }) => id).join(', ')}`
}

async function wayOf(options: RevokeOptions): Promise<Way> {
  if (options.url !== undefined) return { admin: await openAdmin(options) }
  const { config } = await configHere(options)
  if (config === undefined) return { admin: await openAdmin(options) }
  const admin = await brokerHere(config)
  return admin === undefined ? { config } : { admin }
}

async function throughStore(config: NonNullable<Here['config']>, wish: Wish): Promise<Done> {
  const { publishRevocations } = await import('./publish.ts')
  const { checkedHere } = await import('./stop-here.ts')
  const { targets, ...why } = await checkedHere(config, wish, Date.now() / 1000)
  const by = `cli:${userName()}`
  const requests = targets.map((target) => ({ target, ...why, by }))
  const revocations = await publishRevocations(config, requests)
  return { revocations, through: 'store', where: 'the store; no broker runs here' }
}

async function throughApi(admin: AdminClient, wish: Wish): Promise<Done> {
  const { listOf, revocation } = await import('../admin/schemas.ts')
  // One key for all attempts: what was done by one whose answer was lost is not done again.
  const key = randomUUID()
  const { items } = await admin.post('/v1/revocations', listOf(revocation), wish, { key })
  const { through, where } = admin
  return { revocations: items as Revocation[], through, where }
}

function answerOf(done: Done, now: number, held?: Held): Answer {
  const { revocations, through, where, hits } = done
  const targets = revocations.map(({ target }) => target)
  const uncounted = through === 'store' && targets.some(isCounted)
  const lines = revocations.map(({ id, target, until }, at) =>
    [
      `revoked ${printable(targetText(target))}`,
      table([
        ['id', id],
        ['ends', until === undefined ? 'never' : instant(until, now)],
        ['hits', hitsOf(hits, at, target)],
      ]),
    ].join('\n'),
  )
  const facts = table([
    ['through', where],
    ['hits', uncounted ? 'not known, as no broker runs here to count them' : undefined],
    ['had by', held?.text],
  ])
  return {
    json: {
      ...{ revocations, through, ...hitsJson(hits, targets) },
      ...(held === undefined ? {} : { holders: held.json }),
    },
    text: [...lines, facts].join('\n'),
    exitCode: held === undefined || held.all ? 0 : 1,
    done: saidOf(done),
  }
}
