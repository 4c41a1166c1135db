import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import type { Revocation, Target } from '../revocation/target.ts'
import { parseTargetText, TARGET_TEXT_HINT, targetText } from '../revocation/target-text.ts'
import type { AdminClient } from './admin-client.ts'
import { type Answer, CliError } from './answer.ts'
import { finish, parseDuration } from './command.ts'
import { userName } from './control.ts'
import { type AdminOptions, brokerHere, configHere, openAdmin, withAdmin } from './open-admin.ts'
import { type Held, waitForHolders } from './revoke-wait.ts'
import { instant, printable, table } from './text.ts'

interface Options extends AdminOptions {
  reason: string
  for?: string
  until?: string
  dryRun?: boolean
  wait?: boolean
}

/** What is to be stopped, by whom and until when. */
interface Wish {
  readonly targets: readonly Target[]
  readonly reason: string
  readonly until?: number
}

interface Done {
  readonly revocations: readonly Revocation[]
  readonly through: 'broker' | 'url' | 'store'
  readonly where: string
}

export function addRevoke(root: Command): void {
  const revoke = withAdmin(root.command('revoke'))
    .argument(
      '<target...>',
      'jti:…, session:…, agent:… (with /* at the end: all beneath), principal:…, task:…, key:…, server:…, issuer:…, before:…',
    )
    .description(
      'stop tokens, sessions, agents, principals, tasks, keys, servers or issuers, everywhere',
    )
    .option('--reason <text>', 'why, for the record', 'not given')
    .option('--for <duration>', 'end it by itself after 15m, 2h, 7d …; without, it never ends')
    .option('--until <time>', 'end it by itself at this time, as in 2026-01-31T08:00:00Z')
    .option('--dry-run', 'only say what it would stop')
    .option('--wait', 'until every verifier and broker that is heard from has it')
  const example = "writ revoke 'agent:spiffe://corp.example/agents/*' --for 1h --wait"
  finish(revoke, example, (options: Options, targets) =>
    revokeTargets(options, [targets ?? []].flat()),
  )
}

/**
 * Asks a broker to revoke. When none runs here and no other is named, the entries are signed and put
 * into the configured store by this process, so that brokers elsewhere (Redis) and the next start
 * (SQLite) find them.
 */
async function revokeTargets(options: Options, texts: readonly string[]): Promise<Answer> {
  const now = Date.now() / 1000
  const targets = texts.map(targetOf)
  const wish: Wish = { targets, reason: options.reason, ...untilOf(options, now) }
  if (options.dryRun) return await preview(await openAdmin(options), targets)
  const { done, admin } = await revoke(options, wish)
  if (!options.wait) return answerOf(done, now)
  if (admin === undefined) {
    const hint = 'they have it when a broker runs; without --wait the command ends here'
    throw new CliError('unavailable', 'it is revoked, but no broker runs here to ask who has it', {
      hint,
    })
  }
  return answerOf(done, now, await waitForHolders(admin, done.revocations))
}

async function revoke(
  options: Options,
  wish: Wish,
): Promise<{ done: Done; admin: AdminClient | undefined }> {
  if (options.url !== undefined) return await throughApi(await openAdmin(options), wish)
  const { config } = await configHere(options)
  if (config === undefined) return await throughApi(await openAdmin(options), wish)
  const admin = await brokerHere(config)
  if (admin !== undefined) return await throughApi(admin, wish)
  const { publishRevocations } = await import('./publish.ts')
  const { targets, ...why } = wish
  const by = `cli:${userName()}`
  const requests = targets.map((target) => ({ target, ...why, by }))
  const revocations = await publishRevocations(config, requests)
  const where = 'the store; no broker runs here'
  return { done: { revocations, through: 'store', where }, admin: undefined }
}

async function throughApi(admin: AdminClient, wish: Wish) {
  const { listOf, revocation } = await import('../admin/schemas.ts')
  // One key for all attempts: what was done by one whose answer was lost is not done again.
  const key = randomUUID()
  const { items } = await admin.post('/v1/revocations', listOf(revocation), wish, { key })
  const { through, where } = admin
  return { done: { revocations: items as Revocation[], through, where }, admin }
}

function answerOf({ revocations, through, where }: Done, now: number, held?: Held): Answer {
  const lines = revocations.map(({ id, target, until }) =>
    [
      `revoked ${printable(targetText(target))}`,
      table([
        ['id', id],
        ['ends', until === undefined ? 'never' : instant(until, now)],
      ]),
    ].join('\n'),
  )
  const facts = table([
    ['through', where],
    ['had by', held?.text],
  ])
  return {
    json: { revocations, through, ...(held === undefined ? {} : { holders: held.json }) },
    text: [...lines, facts].join('\n'),
    exitCode: held === undefined || held.all ? 0 : 1,
  }
}

async function preview(admin: AdminClient, targets: readonly Target[]): Promise<Answer> {
  const { preview: schema } = await import('../admin/schemas.ts')
  const found = await admin.post('/v1/revocations/preview', schema, { targets })
  const { sessions, workloads, servers, wide, command } = found
  const few = (texts: readonly string[]) =>
    texts.length === 0
      ? undefined
      : [...texts.slice(0, 10), ...(texts.length > 10 ? ['…'] : [])].join(', ')
  return {
    json: { preview: found },
    text: [
      `this would stop ${sessions} live ${sessions === 1 ? 'session' : 'sessions'}`,
      table([
        ['agents', few(workloads)],
        ['at', few(servers)],
        ['needs', wide ? 'a touch of a passkey, from people' : undefined],
        ['to do it', command],
      ]),
    ].join('\n'),
  }
}

/** @throws {CliError} usage */
function targetOf(text: string): Target {
  try {
    return parseTargetText(text)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    const message = `"${printable(text)}" is no target: ${error.message}`
    throw new CliError('usage', message, { hint: TARGET_TEXT_HINT })
  }
}

function untilOf(options: Options, now: number): { until?: number } {
  const { for: duration, until } = options
  if (duration !== undefined && until !== undefined) {
    throw new CliError('usage', 'give --for or --until, and not both')
  }
  if (until !== undefined) return { until: instantOf(until, now) }
  if (duration === undefined) return {}
  const seconds = parseDuration(duration)
  if (seconds !== undefined) return { until: Math.ceil(now + seconds) }
  const shown = printable(duration)
  throw new CliError('usage', `"${shown}" is no duration, expected one as in 15m, 2h or 7d`)
}

function instantOf(text: string, now: number): number {
  const whole = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.test(text)
  const seconds = whole ? Date.parse(text) / 1000 : Number.NaN
  if (seconds > now) return seconds
  throw new CliError('usage', `"${printable(text)}" is no time to come`, {
    hint: 'as in 2026-01-31T08:00:00Z, or with +01:00 instead of Z',
  })
}
