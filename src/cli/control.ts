import { once } from 'node:events'
import { chmod, lstat, stat, unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { dirname, join, relative } from 'node:path'
import type { Admin } from '../sign-in/admin.ts'
import { CliError } from './answer.ts'
import { whileLocked } from './file-lock.ts'

/**
 * The way in for commands on the broker's own host: a Unix socket, mode 0600, so that the operating
 * system decides who may use it: the broker's own user, and root. It carries the admin API, and nothing
 * that a browser or the network can reach.
 *
 * It needs no sign-in of its own: whoever can open it could read the broker's signing keys as well.
 */
export interface Control {
  /** Undefined without a socket. */
  readonly path: string | undefined
  /** Why there is none: another broker on this host has it, as a rule. */
  readonly problem?: string
  close(): Promise<void>
}

/** What a Unix socket's path may be long (sun_path is 104 to 108 bytes, with its final NUL). */
const MAX_PATH_BYTES = 103
/** How long a request may take to arrive. */
const RECEIVED_WITHIN_MS = 10_000
/** Who typed the command, for the record. */
export const USER_HEADER = 'x-writ-user'
/** Of the broker that is meant: another one may have the socket, if they share an audit directory. */
export const ISSUER_HEADER = 'x-writ-issuer'
const USER_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$/

/** Beside the audit log: every broker has that directory, may write there, and owns it. */
export function controlPath(auditDirectory: string): string {
  return join(auditDirectory, 'control.sock')
}

/** A long path may still be short from here; a path that stays too long cannot be used. */
function socketPath(path: string): string | undefined {
  const candidates = [path, relative(process.cwd(), path)]
  return candidates.find((one) => Buffer.byteLength(one) <= MAX_PATH_BYTES)
}

/**
 * Who asks on the socket: somebody who may do anything here already. The name is what the command
 * says of itself, and is worth as much.
 */
export function localAdmin({ headers }: Pick<IncomingMessage, 'headers'>): Admin {
  const named = headers[USER_HEADER]
  const name = typeof named === 'string' && USER_NAME.test(named) ? named : userName()
  const id = `local:${name}`
  return { id, name, kind: 'local', role: 'admin', touchedAt: undefined, csrf: undefined }
}

/** Of the user this process runs as. */
export function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container's user need not have a name.
    return String(process.getuid?.() ?? 'unknown')
  }
}

/**
 * Listens for the requests that `routes` answers; no matter who asks, they come from this host.
 *
 * @throws {Error} when the socket cannot be made private
 */
export async function openControl(path: string, routes: RequestListener): Promise<Control> {
  const name = socketPath(path)
  if (name === undefined) return without(`${path} is too long a path for one`)
  const server = createServer(routes)
  server.requestTimeout = RECEIVED_WITHIN_MS
  // Of two that find what a dead one left, the second would otherwise remove what the first has made.
  const busy = `other brokers are starting all this time, and hold ${name}.lock`
  try {
    if (!(await whileLocked(`${name}.lock`, busy, () => take(server, name)))) {
      return without(`another broker has ${path}, and answers commands here`)
    }
  } catch (error) {
    if (error instanceof CliError) return without(error.message)
    throw error
  }
  await chmod(name, 0o600)
  return {
    path,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function without(problem: string): Control {
  return { path: undefined, problem: `no control socket: ${problem}`, close: async () => {} }
}

/** False when somebody else is there. */
async function take(server: Server, name: string): Promise<boolean> {
  if (await listen(server, name)) return true
  if (await isAnswered(name)) return false
  // Left behind by a broker that was killed. Only a socket is ever removed.
  const found = await lstat(name).catch(goneAlready)
  if (found?.isSocket() === false) throw new Error(`${name} is in the way and no socket`)
  await unlink(name).catch(goneAlready)
  return await listen(server, name)
}

/** A broker that ends meanwhile removes its socket itself. */
function goneAlready(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

/** False when the name is taken. */
function listen(server: Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error)
    server.once('error', failed)
    // The socket is made inside listen(); it must never exist with wider permissions, however
    // briefly, so the mask is set around that call.
    const mask = process.umask(0o177)
    try {
      server.listen(path, () => {
        server.off('error', failed)
        resolve(true)
      })
    } finally {
      process.umask(mask)
    }
  })
}

/** Whatever is wrong with what is there: it is not for this process to take away. */
async function isAnswered(path: string): Promise<boolean> {
  const answers = async () => (await findControl(path)) !== undefined && (await knock(path))
  return await answers().catch(() => true)
}

/**
 * The socket behind which a broker may answer; undefined when there is none. It may be one that a
 * broker left behind when it was killed.
 *
 * @throws {Error} when it is not the one that the owner of its directory made
 */
export async function findControl(path: string): Promise<string | undefined> {
  const socket = socketPath(path)
  return socket !== undefined && (await isOwn(socket)) ? socket : undefined
}

/**
 * Whether there is a socket that the owner of its directory made. Anyone who may write to the
 * directory could put another one there, and say "revoked" to whoever asks.
 *
 * @throws {Error} when it is somebody else's
 */
async function isOwn(socket: string): Promise<boolean> {
  const made = await lstat(socket).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (made === undefined) return false
  const { uid } = await stat(dirname(socket))
  if (made.uid === uid || made.uid === 0) return true
  throw new Error('the control socket belongs to another user than its directory')
}

/**
 * Whether somebody takes connections there: a broker that is busy does, one that was killed does not.
 *
 * @throws {Error} when it cannot be known, as when this user may not open the socket
 */
export async function knock(socket: string): Promise<boolean> {
  const connection = connect(socket)
  try {
    await once(connection, 'connect')
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return false
    throw error
  } finally {
    connection.destroy()
  }
}
