import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { makeDirectory } from '../lib/make-directory.ts'
import { type KeyState, newKeys, rotateKeys, type SigningAlgorithm } from '../mint/keys.ts'
import { type Answer, CliError } from './answer.ts'
import { addGroup, finish, parseDuration } from './command.ts'
import { type ConfigOption, configured, readConfig, withConfig } from './settings.ts'
import { instant, table } from './text.ts'

interface NewOptions extends ConfigOption {
  directory?: string
  algorithm?: string
}

interface RotateOptions extends NewOptions {
  publish?: string
}

const ALGORITHMS: readonly SigningAlgorithm[] = ['ES256', 'RS256', 'Ed25519']

export function addKeys(root: Command): void {
  const keys = addGroup(root, 'keys', 'the keys the broker signs tokens with')
  const fresh = withConfig(keys.command('new'))
    .description('make the first signing key, and the nonce secret when it is configured')
    .option('--directory <directory>', 'instead of the configured one')
    .option('--algorithm <name>', 'ES256, RS256 or Ed25519')
  finish(fresh, 'writ keys new --config config/writ.yaml', makeKeys)

  const nonce = withConfig(keys.command('nonce')).description(
    'make the nonce secret (dpop.nonce_secret_file) alone',
  )
  finish(nonce, 'writ keys nonce --config config/writ.yaml', makeNonce)

  const rotate = withConfig(keys.command('rotate'))
    .description('publish the next signing key; it signs after a while, the old one fades out')
    .option('--directory <directory>', 'instead of the configured one')
    .option('--algorithm <name>', 'ES256, RS256 or Ed25519; that of the present key')
    .option('--publish <duration>', 'how long it is published before it signs', '5m')
  finish(rotate, 'writ keys rotate --config config/writ.yaml', publishNextKey)
}

/** For a broker that has its keys already and is now to demand nonces. */
async function makeNonce(options: ConfigOption): Promise<Answer> {
  const file = (await readConfig(options)).dpop.nonceSecretFile
  if (file === undefined) {
    throw new CliError('configuration', 'dpop.nonce_secret_file is not set')
  }
  if ((await makeNonceSecret(file)) === undefined) {
    throw new CliError('refused', `${file} is there already`, {
      hint: 'it is shared by all processes; to replace it, remove it first and restart all of them',
    })
  }
  return { json: { nonceSecretFile: file }, text: `made the nonce secret ${file}` }
}

async function makeKeys(options: NewOptions): Promise<Answer> {
  const chosen = parseAlgorithm(options.algorithm)
  const config = options.directory === undefined ? await readConfig(options) : undefined
  const directory = options.directory ?? config?.keys.directory ?? ''
  const algorithm = chosen ?? config?.keys.algorithm ?? 'ES256'
  const now = Date.now() / 1000
  const state = await configured(() => newKeys(directory, algorithm, now))
  const secretFile = await makeNonceSecret(config?.dpop.nonceSecretFile)
  const secret = secretFile === undefined ? '' : `\nmade the nonce secret ${secretFile}`
  return {
    json: { directory, key: state, nonceSecretFile: secretFile ?? null },
    text: `made a signing key in ${directory}${secret}\n${describe(state, now)}`,
  }
}

/** The configured nonce secret when there is none yet; an existing one is left as it is. */
async function makeNonceSecret(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  const secret = `${randomBytes(32).toString('base64url')}\n`
  try {
    await makeDirectory(dirname(file), 0o700)
    await writeFile(file, secret, { flag: 'wx', mode: 0o600 })
    return file
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return undefined
    const message = `cannot write the nonce secret ${file} (${code})`
    throw new CliError('configuration', message, { cause: error })
  }
}

async function publishNextKey(options: RotateOptions): Promise<Answer> {
  const algorithm = parseAlgorithm(options.algorithm)
  const publishSeconds = options.publish === '0s' ? 0 : parseDuration(options.publish ?? '5m', '5m')
  const directory = options.directory ?? (await readConfig(options)).keys.directory
  const now = Date.now() / 1000
  const state = await configured(() =>
    rotateKeys(directory, now, {
      publishSeconds,
      ...(algorithm === undefined ? {} : { algorithm }),
    }),
  )
  return {
    json: { directory, key: state },
    text: `published the next signing key in ${directory}\n${describe(state, now)}`,
  }
}

function parseAlgorithm(text: string | undefined): SigningAlgorithm | undefined {
  if (text === undefined) return undefined
  const algorithm = ALGORITHMS.find((name) => name === text)
  if (algorithm !== undefined) return algorithm
  throw new CliError('usage', `"${text}" is no algorithm, expected one of ${ALGORITHMS.join(', ')}`)
}

function describe(state: KeyState, now: number): string {
  return table([
    ['key', state.kid],
    ['algorithm', state.algorithm],
    ['signs from', instant(state.signsFrom, now)],
  ])
}
