import type { Command } from 'commander'
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import { type Answer, EXIT } from './answer.ts'
import type { RunningBroker } from './broker.ts'
import { finish } from './command.ts'
import { type ConfigOption, readConfig, withConfig } from './settings.ts'
import { table } from './text.ts'

interface Options extends ConfigOption {
  check?: boolean
  listen?: string
  admin?: string
}

export function addServe(root: Command): void {
  const serve = withConfig(root.command('serve'))
    .description(
      'run the broker until SIGTERM or SIGINT; SIGHUP reads everything but the configuration again',
    )
    .option('--listen <host:port>', 'instead of the configured listen.public')
    .option('--admin <host:port>', 'instead of the configured listen.admin')
    .option(
      '--check',
      'read everything the configuration names, then stop; opens no store, no port',
    )
  finish(serve, 'writ serve --config config/writ.yaml', (options: Options) =>
    options.check ? check(options) : serveUntilStopped(options),
  )
}

async function check(options: Options): Promise<Answer> {
  const config = await readConfig(options, flagsOf(options))
  const { checkBroker } = await import('./broker-parts.ts')
  const { problems, ...versions } = await checkBroker(config)
  const notes = [...config.notes, ...problems]
  return {
    json: { issuer: config.issuer, ...versions, notes },
    text: [
      `the configuration of ${config.issuer} can be used`,
      ...notes.map((n) => `note: ${n}`),
    ].join('\n'),
  }
}

function flagsOf({ listen, admin }: Options): Record<string, unknown> {
  return listen === undefined && admin === undefined ? {} : { listen: { public: listen, admin } }
}

async function serveUntilStopped(options: Options): Promise<Answer> {
  let askedToReload = false
  const remember = () => {
    askedToReload = true
  }
  process.on('SIGHUP', remember)
  const config = await readConfig(options, flagsOf(options))
  const log = await openLog()
  for (const note of config.notes) log.warn(note)
  const { startBroker } = await import('./broker.ts')
  const running = await startBroker(config, { log })
  stopOnSignals(running, log)
  process.off('SIGHUP', remember)
  // What had been read by then may be what has changed.
  if (askedToReload) void running.reload()
  return ready(config, running)
}

async function ready(config: Config, running: RunningBroker): Promise<Answer> {
  const { publicUrl, adminUrl, mtlsUrl = null, controlPath = null, consoleUrl } = running
  const firstLink = (await running.firstLink()) ?? null
  const { issuer } = config
  const store = config.store.kind
  return {
    json: { issuer, publicUrl, adminUrl, mtlsUrl, controlPath, consoleUrl, firstLink, store },
    text: [
      'ready',
      table([
        ['issuer', issuer],
        ['listens', publicUrl],
        ['mTLS', mtlsUrl === null ? undefined : `${mtlsUrl}, for ${config.mtls?.url}`],
        ['console', `${consoleUrl} (listens at ${adminUrl})`],
        ['store', store],
      ]),
      ...(firstLink === null ? [] : ['', FIRST_LINK, firstLink]),
    ].join('\n'),
  }
}

const FIRST_LINK =
  'Nobody can sign in to the console yet. This link, good once and for an hour, makes the first admin:'

/** The first signal drains, the second ends the process at once. */
function stopOnSignals(running: RunningBroker, log: Logger): void {
  let stopping = false
  const stop = async (signal: NodeJS.Signals) => {
    if (stopping) process.exit(signal === 'SIGINT' ? 130 : 143)
    stopping = true
    log.info(`${signal}: no new requests; a second signal stops at once`)
    try {
      await running.close()
      process.exit(EXIT.ok)
    } catch (error) {
      log.error(error instanceof Error ? error.message : String(error))
      process.exit(EXIT.bug)
    }
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', () => void running.reload())
}

// Standard output holds the one answer; everything else a broker has to say goes to standard error.
async function openLog(): Promise<Logger> {
  const { pino } = await import('pino')
  const { describeError } = await import('../server/log.ts')
  const options = { base: undefined, serializers: { err: describeError } }
  return pino(options, pino.destination({ dest: 2, sync: true }))
}
