/** The key a verifier's reports are signed with: that of a client which the broker knows. */
import { createPrivateKey, createPublicKey, KeyObject } from 'node:crypto'
import { open } from 'node:fs/promises'
import { isJsonObject, type Json, parseJson } from '../lib/json.ts'
import { type Algorithm, isAlgorithm } from '../token/algorithm.ts'
import { importJwk } from '../token/jwk.ts'

export interface ReporterKey {
  readonly algorithm: Algorithm
  readonly key: KeyObject
  readonly kid: string | undefined
}

const MAX_FILE_BYTES = 16 * 1024
const OTHERS = 0o077
const CURVES: Readonly<Record<string, Algorithm>> = { prime256v1: 'ES256', secp384r1: 'ES384' }

/**
 * @param key a file with a private JWK, whose `alg` and `kid` count, or an EC or Ed25519 private key
 * @throws {Error} naming the file and what is wrong with it, and never what it holds
 */
export async function readReporterKey(key: string | KeyObject): Promise<ReporterKey> {
  if (typeof key !== 'string') return { key, algorithm: algorithmOf(key), kid: undefined }
  const file = key
  const wrong = `the key ${file} for reports is not a private JWK`
  const jwk = await readJwk(file, wrong)
  let found: KeyObject
  try {
    found = createPrivateKey({ key: jwk, format: 'jwk' })
  } catch {
    // No cause: what a parser says about a private key could quote it.
    throw new Error(wrong)
  }
  const { alg, kid } = jwk
  if (alg !== undefined && !isAlgorithm(alg)) throw new Error(`${wrong}: its alg is not known`)
  const algorithm = alg ?? algorithmOf(found)
  try {
    importJwk(createPublicKey(found).export({ format: 'jwk' }), [algorithm])
  } catch {
    throw new Error(`${wrong}: it cannot sign with its alg`)
  }
  return { key: found, algorithm, kid: typeof kid === 'string' ? kid : undefined }
}

/** @throws {TypeError} for anything but the private keys a client may register without naming an `alg` */
export function algorithmOf(key: KeyObject): Algorithm {
  if (key instanceof KeyObject && key.type === 'private') {
    if (key.asymmetricKeyType === 'ed25519') return 'Ed25519'
    const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? '']
    if (key.asymmetricKeyType === 'ec' && curve !== undefined) return curve
  }
  throw new TypeError(
    'reports.key: expected a P-256, P-384 or Ed25519 private key, or a file with a JWK that has alg',
  )
}

async function readJwk(file: string, wrong: string): Promise<Record<string, Json>> {
  const handle = await open(file, 'r').catch((cause: unknown) => {
    throw new Error(`cannot read the key ${file} for reports`, { cause })
  })
  try {
    const { mode, size } = await handle.stat()
    if (process.platform !== 'win32' && (mode & OTHERS) !== 0) {
      throw new Error(`the key ${file} for reports is open to other users: chmod 600 ${file}`)
    }
    if (size > MAX_FILE_BYTES) throw new Error(wrong)
    const value = parsed(await handle.readFile())
    if (value === undefined || !isJsonObject(value)) throw new Error(wrong)
    return value
  } finally {
    await handle.close()
  }
}

function parsed(bytes: Uint8Array): Json | undefined {
  try {
    return parseJson(bytes)
  } catch {
    return undefined
  }
}
