/**
 * Where `writ login` keeps what it got: one file per user, with a key and a refresh token for each
 * broker that the user is signed in to. Whoever can read it can act as that user, so a file that others
 * can read is refused rather than used.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, stat, unlink } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { isJsonObject, type Json, type JsonObject, parseJson } from '../lib/json.ts'
import { makeDirectory } from '../lib/make-directory.ts'
import { importSenderKey } from '../token/proof.ts'
import { CliError } from './answer.ts'
import { whileLocked } from './file-lock.ts'

/** A sign-in at one broker. Times are seconds since the epoch. */
export interface Login {
  /** The admin listener's URL, which is also the issuer of the tokens. */
  readonly url: string
  /** The private JWK with which proofs are made. */
  readonly key: JsonObject
  readonly refreshToken: string
  readonly accessToken: string
  readonly accessUntil: number
  readonly scope: string
  readonly signedInAt: number
}

export interface Logins {
  /** The one that is meant when no other is named: the last. */
  readonly current: string | undefined
  readonly logins: readonly Login[]
}

const OTHERS = 0o077
const MAX_FILE_BYTES = 256 * 1024
const NAME = 'logins.json'

/** `$XDG_CONFIG_HOME/writ`, by default `~/.config/writ`. */
export function loginDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const home = env.XDG_CONFIG_HOME
  // The specification asks that a relative path be ignored.
  return join(home !== undefined && isAbsolute(home) ? home : join(homedir(), '.config'), 'writ')
}

/** @throws {CliError} configuration: others can read it, or it is damaged */
export async function readLogins(directory: string): Promise<Logins> {
  const path = join(directory, NAME)
  let file: FileHandle
  try {
    // A link may lead to a file of somebody else's choice.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return { current: undefined, logins: [] }
    throw damaged(path, `cannot be opened (${(error as NodeJS.ErrnoException).code})`, error)
  }
  try {
    const found = await file.stat()
    if (!found.isFile() || found.size > MAX_FILE_BYTES) throw damaged(path, 'is no such file')
    if ((found.mode & OTHERS) !== 0) {
      throw new CliError('configuration', `other users can read ${path}`, {
        hint: 'somebody may have copied it: remove it, and run writ login again',
      })
    }
    return parseLogins(await file.readFile('utf8'), path)
  } finally {
    await file.close()
  }
}

function parseLogins(text: string, path: string): Logins {
  let json: Json
  try {
    json = parseJson(text)
  } catch (error) {
    // No cause: what the parser says could quote a token.
    throw damaged(path, `is no JSON (${(error as Error).name})`)
  }
  const members = isJsonObject(json) ? json : {}
  const { current, logins } = members
  if (members.version !== 1 || !Array.isArray(logins) || !logins.every(isLogin)) {
    throw damaged(path, 'is not of this version')
  }
  return {
    current: typeof current === 'string' ? current : undefined,
    logins: logins as unknown as readonly Login[],
  }
}

function isLogin(value: Json): boolean {
  if (!isJsonObject(value) || !isJsonObject(value.key)) return false
  const { url, refreshToken, accessToken, accessUntil, scope, signedInAt } = value
  const texts = [url, refreshToken, accessToken, scope]
  const times = [accessUntil, signedInAt]
  return (
    texts.every((text) => typeof text === 'string') &&
    times.every(Number.isFinite) &&
    URL.canParse(String(url)) &&
    isKey(value.key)
  )
}

function isKey(jwk: JsonObject): boolean {
  try {
    importSenderKey(jwk)
    return true
  } catch {
    return false
  }
}

/**
 * Whole or not at all, and never readable by others, not even while it is written.
 *
 * @throws {CliError} configuration, when it cannot be written
 */
export async function writeLogins(directory: string, logins: Logins): Promise<void> {
  await makePrivate(directory)
  await write(join(directory, NAME), logins).catch((error: NodeJS.ErrnoException) => {
    throw unwritable(directory, error)
  })
}

async function write(path: string, { current, logins }: Logins): Promise<void> {
  const next = `${path}.${randomBytes(6).toString('hex')}`
  const file = await open(next, 'wx', 0o600)
  try {
    await file.writeFile(`${JSON.stringify({ version: 1, current, logins }, undefined, 2)}\n`)
    await file.sync()
    await file.close()
    await rename(next, path)
  } catch (error) {
    await file.close().catch(() => undefined)
    await unlink(next).catch(() => undefined)
    throw error
  }
}

/**
 * One command at a time changes the saved sign-ins. A refresh token that two commands use at once ends
 * the whole sign-in: the broker cannot tell the second from a thief.
 *
 * @throws {CliError} unavailable, when another command does not let go of them
 */
export async function whileLoginsLocked<T>(directory: string, run: () => Promise<T>): Promise<T> {
  await makePrivate(directory)
  const busy = 'another writ command is signing in all this time'
  return await whileLocked(join(directory, 'lock'), busy, run)
}

/** @throws {CliError} configuration, when it cannot be made, or others may write into it */
async function makePrivate(directory: string): Promise<void> {
  const { mode } = await makeDirectory(directory, 0o700)
    .then(() => stat(directory))
    .catch((error: NodeJS.ErrnoException) => {
      throw unwritable(directory, error)
    })
  if ((mode & 0o022) === 0) return
  throw new CliError('configuration', `other users can write into ${directory}`, {
    hint: `run chmod 700 ${directory}`,
  })
}

export function withLogin({ logins }: Logins, login: Login): Logins {
  const others = logins.filter(({ url }) => url !== login.url)
  return { current: login.url, logins: [...others, login] }
}

export function withoutLogin({ current, logins }: Logins, url: string): Logins {
  const others = logins.filter((login) => login.url !== url)
  return { current: current === url ? others.at(-1)?.url : current, logins: others }
}

function unwritable(directory: string, cause: NodeJS.ErrnoException): CliError {
  return new CliError('configuration', `${directory} cannot be written (${cause.code})`, {
    hint: 'sign-ins are kept there; XDG_CONFIG_HOME names another place',
    cause,
  })
}

function damaged(path: string, what: string, cause?: unknown): CliError {
  const hint = 'remove it, and run writ login again'
  return new CliError('configuration', `${path} ${what}`, { hint, cause })
}
