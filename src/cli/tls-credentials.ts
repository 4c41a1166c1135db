/** The certificate of the mTLS listener: from files that are looked at, or the broker's own SVID. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import type { Logger } from 'pino'
import type { MtlsConfig } from '../config/config.ts'
import type { TlsCredentials } from '../server/mtls.ts'
import { pemOf } from '../spiffe/source.ts'
import type { WorkloadApi } from '../spiffe/workload-api.ts'
import { messageOf } from './broker-parts.ts'
import type { WorkloadApis } from './workload-apis.ts'

/** How often the files are looked at. */
const POLL_MS = 2_000

interface Pair {
  readonly cert: string
  readonly key: string
}

/**
 * Opens the listener's certificate and follows it.
 *
 * @param stack ends the following
 * @throws {Error} when there is none that could be used now: a broker does not listen without one
 */
export async function openTlsCredentials(
  { credentials }: MtlsConfig,
  apis: WorkloadApis,
  { log, stack }: { readonly log: Logger; readonly stack: AsyncDisposableStack },
): Promise<TlsCredentials> {
  return credentials.kind === 'files'
    ? await followFiles(credentials, log, stack)
    : await followSvid(apis.open(credentials.socket), stack)
}

async function followSvid(api: WorkloadApi, stack: AsyncDisposableStack): Promise<TlsCredentials> {
  const listeners = new Set<() => void>()
  let pair = pairOf((await api.x509()).svids[0])
  const forget = api.onX509((context) => {
    // Taken away: what is held serves until it expires, and its end is for those who connect to see.
    const next = context?.svids[0]
    if (next === undefined) return
    pair = pairOf(next)
    for (const listener of listeners) listener()
  })
  stack.defer(forget)
  return credentialsOf(() => pair, listeners)
}

function pairOf(svid: Parameters<typeof pemOf>[0] | undefined): Pair {
  if (svid === undefined) throw new Error('the Workload API has no X509-SVID for this broker')
  return pemOf(svid)
}

async function followFiles(
  files: { readonly certificateFile: string; readonly keyFile: string },
  log: Logger,
  stack: AsyncDisposableStack,
): Promise<TlsCredentials> {
  const listeners = new Set<() => void>()
  let stamp = await stampOf(files)
  let pair = await readPair(files)
  let lastProblem: string | undefined

  async function look(): Promise<void> {
    try {
      const now = await stampOf(files)
      if (now === stamp) return
      // Of two files that are replaced one after the other, the first alone does not fit.
      pair = await readPair(files)
      stamp = now
      lastProblem = undefined
      for (const listener of listeners) listener()
      log.info('the mTLS listener has a new certificate')
    } catch (error) {
      const problem = messageOf(error)
      if (problem !== lastProblem) log.error(`the mTLS listener keeps its certificate: ${problem}`)
      lastProblem = problem
    }
  }

  let looking = false
  const timer = setInterval(async () => {
    if (looking) return
    looking = true
    await look()
    looking = false
  }, POLL_MS)
  timer.unref()
  stack.defer(() => clearInterval(timer))
  return credentialsOf(() => pair, listeners)
}

function credentialsOf(current: () => Pair, listeners: Set<() => void>): TlsCredentials {
  return {
    current,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

async function stampOf({
  certificateFile,
  keyFile,
}: {
  readonly certificateFile: string
  readonly keyFile: string
}): Promise<string> {
  const parts: string[] = []
  for (const file of [certificateFile, keyFile]) {
    const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    parts.push(`${ino}:${size}:${mtimeNs}:${ctimeNs}`)
  }
  return parts.join()
}

/** @throws {Error} naming the file; also when key and certificate do not belong together */
async function readPair(files: {
  readonly certificateFile: string
  readonly keyFile: string
}): Promise<Pair> {
  const cert = await readFile(files.certificateFile, 'utf8')
  const key = await readFile(files.keyFile, 'utf8')
  const leaf = reading(
    files.certificateFile,
    'a certificate in PEM',
    () => new X509Certificate(cert),
  )
  const privateKey = reading(files.keyFile, 'a private key in PEM', () => createPrivateKey(key))
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new Error(`${files.keyFile} is not the key of ${files.certificateFile}`)
  }
  return { cert, key }
}

/** OpenSSL's words may quote what it read; ours name the file. */
function reading<T>(file: string, expected: string, read: () => T): T {
  try {
    return read()
  } catch {
    throw new Error(`${file}: expected ${expected}`)
  }
}
