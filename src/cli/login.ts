import { spawn } from 'node:child_process'
import type { Command } from 'commander'
import { importSenderKey } from '../token/proof.ts'
import { type Answer, CliError } from './answer.ts'
import { finish } from './command.ts'
import { type Prompt, signInByDevice } from './device-flow.ts'
import {
  type Login,
  loginDirectory,
  readLogins,
  whileLoginsLocked,
  withLogin,
  withoutLogin,
  writeLogins,
} from './login-file.ts'
import { CLI_CLIENT, discover, parseAdminUrl, post } from './oauth.ts'
import { newLoginKey } from './saved-login.ts'
import { printable, table } from './text.ts'

interface LoginOptions {
  url?: string
  browser: boolean
  readOnly?: boolean
}

const SCOPES = 'writ:viewer writ:approver writ:admin'
const STANDARD_URL = 'http://localhost:4472'

export function addLogin(root: Command): void {
  const login = root
    .command('login')
    .description('sign in at a broker with a passkey, in a browser')
    .option('--url <url>', `the broker's admin side; else the last one, or ${STANDARD_URL}`)
    .option('--read-only', 'ask for what a viewer may do, and no more')
    .option('--no-browser', 'only print where to go')
  finish(login, 'writ login --url https://writ.example', signIn)
  const logout = root
    .command('logout')
    .description('end a sign-in, here and at the broker')
    .option('--url <url>', 'which; else the last one')
  finish(logout, 'writ logout', signOut)
}

async function signIn(options: LoginOptions): Promise<Answer> {
  const directory = loginDirectory(process.env)
  // Read first: a file that is refused must not be found out after somebody has touched a passkey.
  const { current } = await readLogins(directory)
  const url = parseAdminUrl(options.url ?? current ?? STANDARD_URL)
  const { jwk, key } = newLoginKey()
  const scope = options.readOnly ? 'writ:viewer' : SCOPES
  const show = (prompt: Prompt) => {
    showPrompt(prompt)
    if (options.browser) openBrowser(prompt.urlWithCode ?? prompt.url)
  }
  const tokens = await signInByDevice({ url, scope, key, show })
  const login: Login = { url, key: jwk, ...tokens, signedInAt: Math.floor(Date.now() / 1000) }
  const before = await whileLoginsLocked(directory, async () => {
    const saved = await readLogins(directory)
    await writeLogins(directory, withLogin(saved, login))
    return saved.logins.find((one) => one.url === url)
  })
  // The one it replaces would stay good at the broker; that it cannot be ended there is no failure.
  if (before !== undefined) await endAtBroker(before).catch(() => undefined)
  return {
    json: { url, scope: tokens.scope, directory },
    text: [`signed in at ${url}`, table([['kept in', directory]])].join('\n'),
  }
}

async function signOut(options: { url?: string }): Promise<Answer> {
  const directory = loginDirectory(process.env)
  const { current } = await readLogins(directory)
  const url = options.url === undefined ? current : parseAdminUrl(options.url)
  if (url === undefined) throw new CliError('refused', 'nobody is signed in')
  const ended = await whileLoginsLocked(directory, async () => {
    const saved = await readLogins(directory)
    const login = saved.logins.find((one) => one.url === url)
    if (login !== undefined) await writeLogins(directory, withoutLogin(saved, url))
    return login
  })
  if (ended === undefined) throw new CliError('refused', `nobody is signed in at ${url}`)
  const problem = await endAtBroker(ended).catch((error: Error) => error.message)
  return {
    json: { url, endedAtBroker: problem === undefined },
    text:
      problem === undefined
        ? `signed out at ${url}`
        : `signed out here; ${url} could not be told, and ends it by itself: ${printable(problem)}`,
  }
}

/** RFC 7009: the tokens that hang on a refresh token end with it. */
async function endAtBroker(login: Login): Promise<string | undefined> {
  const { revocation } = await discover(login.url)
  if (revocation === undefined) return 'it ends no sign-ins'
  const form = {
    client_id: CLI_CLIENT,
    token: login.refreshToken,
    token_type_hint: 'refresh_token',
  }
  return (await post(revocation, form, importSenderKey(login.key))).error
}

/** On standard error: the answer of the command is not there yet. */
export function showPrompt({ url, urlWithCode, code, lifetimeSeconds }: Prompt): void {
  const lines = [
    '',
    `  Open    ${urlWithCode ?? url}`,
    `  Code    ${code}`,
    '',
    `Compare the code and touch your passkey within ${Math.round(lifetimeSeconds / 60)} minutes …`,
  ]
  process.stderr.write(`${lines.join('\n')}\n`)
}

/** Where somebody sits at this very machine. That it may not work is no error: the address is shown. */
function openBrowser(url: string): void {
  const { DISPLAY, WAYLAND_DISPLAY, SSH_CONNECTION } = process.env
  const graphic = process.platform === 'darwin' || DISPLAY || WAYLAND_DISPLAY
  if (!process.stderr.isTTY || SSH_CONNECTION !== undefined || !graphic) return
  const opener = process.platform === 'darwin' ? 'open' : 'xdg-open'
  const child = spawn(opener, [url], { stdio: 'ignore', detached: true })
  child.on('error', () => undefined)
  child.unref()
}
