/**
 * One signing key, one file: private key and times together, written once and never changed.
 *
 * With no list beside the files there is nothing that two processes could leave half updated: a key
 * is there completely or not at all, and what each key does follows from the times alone.
 */
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, open, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { isJsonObject, type JsonObject, parseJson } from '../lib/json.ts'
import { ACCESS_TOKEN_ALGORITHMS, type Algorithm } from '../token/algorithm.ts'
import { importJwk, thumbprintOf } from '../token/jwk.ts'
import type { SigningKey } from '../token/jws.ts'

export type SigningAlgorithm = 'ES256' | 'RS256' | 'Ed25519'
export const SIGNING_ALGORITHMS = ACCESS_TOKEN_ALGORITHMS as readonly SigningAlgorithm[]

/** A signing key and its two times, in seconds since the epoch. */
export interface StoredKey extends SigningKey {
  readonly algorithm: SigningAlgorithm & Algorithm
  readonly publishedAt: number
  /** From here on it signs, until a later key does. */
  readonly signsFrom: number
}

const SUFFIX = '.key.json'
const MAX_FILE_BYTES = 16 * 1024
const OTHERS = 0o077

/**
 * Every key of a directory, in the order in which they sign.
 *
 * @throws {Error} naming the file or directory, and what to do, when one is missing, damaged, or open
 *   to other users
 */
export async function readKeys(directory: string): Promise<readonly StoredKey[]> {
  await checkDirectory(directory)
  const names = (await readdir(directory)).filter((name) => name.endsWith(SUFFIX))
  const keys = await Promise.all(names.map((name) => readKey(join(directory, name))))
  return keys
    .filter((key) => key !== undefined)
    .sort((a, b) => a.signsFrom - b.signsFrom || (a.kid < b.kid ? -1 : 1))
}

/**
 * Writes a new key so that it is there completely or not at all, also after a loss of power.
 *
 * @throws {Error} when a key of that name is there already
 */
export async function writeKey(
  directory: string,
  key: Omit<StoredKey, 'publicJwk'>,
): Promise<void> {
  const text = JSON.stringify({
    kid: key.kid,
    algorithm: key.algorithm,
    publishedAt: key.publishedAt,
    signsFrom: key.signsFrom,
    privateKey: key.key.export({ type: 'pkcs8', format: 'pem' }),
  })
  const file = fileOf(directory, key.kid)
  const draft = join(directory, `.${key.kid}.${randomBytes(8).toString('hex')}.draft`)
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(`${text}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    // Unlike a rename, a link never replaces what is there.
    await link(draft, file)
  } finally {
    await unlink(draft)
  }
  await syncDirectory(directory)
}

/** Forgets a key for good; it may be gone already. */
export async function removeKey(directory: string, kid: string): Promise<void> {
  await unlink(fileOf(directory, kid)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
  await syncDirectory(directory)
}

function fileOf(directory: string, kid: string): string {
  return join(directory, `${kid}${SUFFIX}`)
}

/** `undefined` when a rotation elsewhere has removed the file since it was listed. */
async function readKey(file: string): Promise<StoredKey | undefined> {
  let handle: Awaited<ReturnType<typeof open>>
  try {
    handle = await open(file, constants.O_RDONLY)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Error(`cannot read the signing key ${file}`, { cause })
  }
  try {
    const { mode, size } = await handle.stat()
    if (isOpenToOthers(mode)) {
      throw new Error(`the signing key ${file} is open to other users: chmod 600 ${file}`)
    }
    if (size > MAX_FILE_BYTES) throw damaged(file)
    return await parseKey(await handle.readFile(), file)
  } finally {
    await handle.close()
  }
}

async function parseKey(bytes: Uint8Array, file: string): Promise<StoredKey> {
  const members = parseMembers(bytes)
  const algorithm = SIGNING_ALGORITHMS.find((name) => name === members?.algorithm)
  if (members === undefined || algorithm === undefined) throw damaged(file)
  const { privateKey, publishedAt, signsFrom } = members
  if (typeof publishedAt !== 'number' || typeof signsFrom !== 'number') throw damaged(file)
  try {
    const key = createPrivateKey(privateKey as string)
    const jwk = createPublicKey(key).export({ format: 'jwk' })
    importJwk(jwk, [algorithm])
    const kid = await thumbprintOf(jwk)
    if (kid !== members.kid) throw damaged(file)
    const publicJwk = { ...(jwk as JsonObject), kid, alg: algorithm, use: 'sig' }
    return { kid, algorithm, key, publicJwk, publishedAt, signsFrom }
  } catch {
    // No cause: what a parser says about a private key could quote it.
    throw damaged(file)
  }
}

function parseMembers(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value = parseJson(bytes)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

async function checkDirectory(directory: string): Promise<void> {
  const found = await stat(directory).catch(() => undefined)
  if (found === undefined || !found.isDirectory()) {
    throw new Error(`there are no signing keys in ${directory}: run writ keys new`)
  }
  if (isOpenToOthers(found.mode)) {
    throw new Error(`the key directory ${directory} is open to other users: chmod 700 ${directory}`)
  }
}

function isOpenToOthers(mode: number): boolean {
  return process.platform !== 'win32' && (mode & OTHERS) !== 0
}

function damaged(file: string): Error {
  return new Error(
    `the signing key ${file} is damaged: restore it, or remove it and run writ keys rotate`,
  )
}

async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(directory, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
