import { userInfo } from 'node:os'
import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { isJsonObject, type JsonObject } from '../lib/json.ts'
import type { Revocation, Target } from '../revocation/target.ts'
import { parseTargetText, TARGET_TEXT_HINT } from '../revocation/target-text.ts'
import { type Answer, CliError } from './answer.ts'
import { finish, parseDuration } from './command.ts'
import { callControl, controlPath } from './control.ts'
import { type ConfigOption, readConfig, withConfig } from './settings.ts'
import { instant, table } from './text.ts'

interface Options extends ConfigOption {
  reason: string
  for?: string
}

export function addRevoke(root: Command): void {
  const revoke = withConfig(root.command('revoke'))
    .argument(
      '<target>',
      'jti:…, session:…, agent:… (with /* at the end: all beneath), principal:…, task:…, key:…, server:…, issuer:…, before:…',
    )
    .description(
      'stop a token, a session, an agent, a principal, a task, a key, a server or an issuer, everywhere',
    )
    .option('--reason <text>', 'why, for the record', 'not given')
    .option('--for <duration>', 'end it by itself after 15m, 2h, 7d …; without, it never ends')
  finish(revoke, "writ revoke 'agent:spiffe://corp.example/agents/*' --for 1h", revokeTarget)
}

/**
 * Asks the broker on this host to revoke. When none runs here, the entry is signed and put into the
 * configured store by this process, so that brokers elsewhere (Redis) and the next start (SQLite)
 * find it.
 */
async function revokeTarget(options: Options, text = ''): Promise<Answer> {
  const target = targetOf(text)
  const now = Date.now() / 1000
  const until = untilOf(options.for, now)
  const config = await readConfig(options)
  const wish = { target, reason: options.reason, by: `cli:${userName()}`, ...until }
  const { revocation, through } = await revoke(config, wish)
  return {
    json: { revocation, through },
    text: [
      `revoked ${text}`,
      table([
        ['id', revocation.id],
        ['ends', revocation.until === undefined ? 'never' : instant(revocation.until, now)],
        ['in force', `everywhere within ${config.revocation.staleAfterMs} ms`],
        ['through', through === 'broker' ? 'the running broker' : 'the store; no broker runs here'],
      ]),
    ].join('\n'),
  }
}

async function revoke(
  config: Config,
  wish: { target: Target; reason: string; by: string; until?: number },
): Promise<{ revocation: Revocation; through: 'broker' | 'store' }> {
  const path = controlPath(config.audit.directory)
  let answered: JsonObject | undefined
  try {
    answered = await callControl(path, 'revocations', { ...wish, target: { ...wish.target } })
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    throw new CliError('unavailable', `the broker could not revoke: ${detail}`, {
      hint: 'nothing is revoked; run the command again as the user the broker runs as',
      cause: error,
    })
  }
  if (answered === undefined) {
    const { publishRevocation } = await import('./publish.ts')
    return { revocation: await publishRevocation(config, wish), through: 'store' }
  }
  if (!isJsonObject(answered.revocation)) throw new Error('the broker answered with no revocation')
  return { revocation: answered.revocation as unknown as Revocation, through: 'broker' }
}

/** @throws {CliError} usage */
function targetOf(text: string): Target {
  try {
    return parseTargetText(text)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new CliError('usage', `"${text}" is no target: ${error.message}`, {
      hint: TARGET_TEXT_HINT,
    })
  }
}

function untilOf(duration: string | undefined, now: number): { until?: number } {
  if (duration === undefined) return {}
  const seconds = parseDuration(duration)
  if (seconds !== undefined) return { until: Math.ceil(now + seconds) }
  throw new CliError('usage', `"${duration}" is no duration, expected one as in 15m, 2h or 7d`)
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container's user need not have a name.
    return String(process.getuid?.() ?? 'unknown')
  }
}
