import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import type { Revocation } from '../revocation/target.ts'
import { targetText } from '../revocation/target-text.ts'
import type { AdminClient } from './admin-client.ts'
import { type Answer, CliError } from './answer.ts'
import { finish } from './command.ts'
import { userName } from './control.ts'
import { brokerHere, configHere, type Here, openAdmin, withAdmin } from './open-admin.ts'
import { countHits, type Hits, hitsOf, idle, preview, warnOfIdle } from './revoke-preview.ts'
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
    const hint = 'they have it when a broker runs; without --wait the command ends here'
    throw new CliError('unavailable', 'it is revoked, but no broker runs here to ask who has it', {
      hint,
    })
  }
  if (options.dryRun) return await preview(way.admin, options, wish.targets)
  const hits = await countHits(way.admin, wish.targets)
  const done = { ...(await throughApi(way.admin, wish)), hits }
  warnOfIdle(idle(hits, wish.targets))
  if (!options.wait) return answerOf(done, now)
  return answerOf(done, now, await waitForHolders(way.admin, done.revocations))
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
  const { targets, ...why } = wish
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

function answerOf({ revocations, through, where, hits }: Done, now: number, held?: Held): Answer {
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
    ['had by', held?.text],
  ])
  return {
    json: {
      ...{ revocations, through, hits: hits?.sessions ?? null },
      ...(hits === undefined ? {} : { each: hits.each }),
      ...(held === undefined ? {} : { holders: held.json }),
    },
    text: [...lines, facts].join('\n'),
    exitCode: held === undefined || held.all ? 0 : 1,
    done: `it is revoked: ${revocations.map(({ id }) => id).join(', ')}`,
  }
}
