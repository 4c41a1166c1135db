/** Which broker a command means: the one whose URL is given, the one that runs here, or the last sign-in. */
import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { type AdminClient, clientOfLogin, clientOnSocket } from './admin-client.ts'
import { CliError } from './answer.ts'
import { controlPath, findControl, knock } from './control.ts'
import { loginDirectory, readLogins } from './login-file.ts'
import { parseAdminUrl } from './oauth.ts'
import { openSavedLogin } from './saved-login.ts'
import { type ConfigOption, readConfig, withConfig } from './settings.ts'

export interface AdminOptions extends ConfigOption {
  url?: string
}

export function withAdmin(command: Command): Command {
  return withConfig(command).option(
    '--url <url>',
    'ask the broker whose admin side this is; see writ login',
  )
}

/**
 * The options that name the broker that answered, for a command that is to be copied and to ask the same
 * one. A broker elsewhere is always named: a stop that names none may go into the store that is here.
 */
export function sameBroker(
  { config }: ConfigOption,
  { through, where }: Pick<AdminClient, 'through' | 'where'>,
): string[] {
  return [
    ...(config === undefined ? [] : ['--config', config]),
    ...(through === 'url' ? ['--url', where] : []),
  ]
}

/**
 * @throws {CliError} refused: nobody is signed in; configuration; unavailable: there is no broker to ask
 */
export async function openAdmin(options: AdminOptions): Promise<AdminClient> {
  if (options.url !== undefined) return await signedInAt(parseAdminUrl(options.url))
  const here = await configHere(options)
  const local = here.config && (await brokerHere(here.config))
  if (local !== undefined) return local
  const { current } = await readLogins(loginDirectory(process.env))
  if (current !== undefined) return await signedInAt(current)
  if (here.config === undefined) {
    throw new CliError('configuration', here.problem.message, {
      hint: 'name the configuration of the broker here with --config, or sign in elsewhere: writ login --url <url>',
    })
  }
  throw new CliError('unavailable', 'no broker of this configuration runs here', {
    hint: 'start it with writ serve, be the user it runs as, or sign in: writ login --url <url>',
  })
}

async function signedInAt(url: string): Promise<AdminClient> {
  return clientOfLogin(await openSavedLogin(loginDirectory(process.env), url))
}

export type Here =
  | { readonly config: Config; readonly problem?: undefined }
  | { readonly config: undefined; readonly problem: CliError }

/**
 * The configuration here, which somebody who is signed in elsewhere need not have.
 *
 * @throws {CliError} configuration, when one was named
 */
export async function configHere(options: ConfigOption): Promise<Here> {
  try {
    return { config: await readConfig(options) }
  } catch (error) {
    const named = options.config !== undefined || process.env.WRIT_CONFIG !== undefined
    if (named || !(error instanceof CliError)) throw error
    return { config: undefined, problem: error }
  }
}

/**
 * The broker of this configuration that runs here; undefined when none does.
 *
 * @throws {CliError} unavailable, when there is one and this user may not ask it
 */
export async function brokerHere({ audit, issuer }: Config): Promise<AdminClient | undefined> {
  try {
    const socket = await findControl(controlPath(audit.directory))
    if (socket === undefined || !(await knock(socket))) return undefined
    return clientOnSocket(socket, issuer)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new CliError('unavailable', `the broker here cannot be asked: ${code ?? message}`, {
      hint: 'run the command as the user the broker runs as',
      cause: error,
    })
  }
}
