/** The certificate of the mTLS listener: from files that are looked at, or the broker's own SVID. */
import { X509Certificate } from 'node:crypto'
import type { Logger } from 'pino'
import type { CertificateFiles, MtlsConfig } from '../config/config.ts'
import type { TlsCredentials } from '../server/mtls.ts'
import { pemOf } from '../spiffe/source.ts'
import type { WorkloadApi } from '../spiffe/workload-api.ts'
import { CliError } from './answer.ts'
import { configured } from './settings.ts'
import { messageOf } from './text.ts'
import { isOpenToOthers, type KeyPair, readKeyPair, stampOf } from './tls-files.ts'
import type { WorkloadApis } from './workload-apis.ts'

/** How often files are looked at, and the end of the certificate. */
const POLL_MS = 2_000

export interface ListenerCertificate extends TlsCredentials {
  /**
   * Why clients will not accept what the listener presents, in words; undefined when they will.
   *
   * @param now seconds since the epoch
   */
  fault(now: number): string | undefined
  /** Looks at the files now. */
  reload(): Promise<void>
}

interface Held extends KeyPair {
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

interface Surroundings {
  readonly log: Logger
  /** Ends the following. */
  readonly stack: AsyncDisposableStack
}

/**
 * Opens the listener's certificate and follows it. A new one serves new connections; what cannot be
 * used leaves the old one serving, and is told.
 *
 * @throws {CliError} configuration for files that cannot be used; unavailable when the Workload API
 *   has no SVID for this broker: a broker does not listen without a certificate
 */
export async function openTlsCredentials(
  { credentials }: MtlsConfig,
  apis: WorkloadApis,
  { log, stack }: Surroundings,
): Promise<ListenerCertificate> {
  const follower =
    credentials.kind === 'files'
      ? await configured(() => filesFollower(credentials, log))
      : await svidFollower(await configured(() => apis.open(credentials.socket)))
  const listeners = new Set<() => void>()
  let held = follower.first
  let withdrawn = false
  let lastProblem: string | undefined

  function say(problem: string | undefined): void {
    // The same trouble at each look is one line in the operator's log.
    if (problem !== undefined && problem !== lastProblem) log.error(`the mTLS listener: ${problem}`)
    lastProblem = problem
  }
  function use(next: Held | undefined): void {
    withdrawn = next === undefined
    if (next !== undefined && (next.cert !== held.cert || next.key !== held.key)) {
      held = next
      for (const listener of listeners) listener()
      log.info('the mTLS listener has a new certificate')
    }
    say(fault(Date.now() / 1000))
  }
  function fault(now: number): string | undefined {
    const end = new Date(held.expiresAt * 1000).toISOString()
    if (now >= held.expiresAt) return `its certificate has expired at ${end}`
    return withdrawn ? `its identity was taken away; what it presents ends at ${end}` : undefined
  }
  async function look(): Promise<void> {
    try {
      const next = await follower.look()
      if (next !== undefined) return use(next)
      say(fault(Date.now() / 1000))
    } catch (error) {
      const kept = `it keeps its certificate: ${messageOf(error)}`
      const wrong = fault(Date.now() / 1000)
      say(wrong === undefined ? kept : `${wrong}; ${kept}`)
    }
  }

  let looking: Promise<void> | undefined
  const lookOnce = () => {
    looking ??= look().finally(() => {
      looking = undefined
    })
    return looking
  }
  const timer = setInterval(lookOnce, POLL_MS).unref()
  stack.defer(() => clearInterval(timer))
  stack.defer(follower.listen(use))
  return {
    current: () => held,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    fault,
    reload: lookOnce,
  }
}

interface Follower {
  readonly first: Held
  /** What is new since the last look; undefined when nothing is. */
  look(): Promise<Held | undefined>
  /** For sources that tell by themselves. Undefined: the identity was taken away. */
  listen(listener: (held: Held | undefined) => void): () => void
}

async function filesFollower(files: CertificateFiles, log: Logger): Promise<Follower> {
  let toldOfKey = false
  async function read(): Promise<Held> {
    const held = validNow(await readKeyPair(files), files.certificateFile)
    const open = await isOpenToOthers(files.keyFile)
    // No refusal as for signing keys: where secrets are mounted, their modes are often not ours to choose.
    if (open && !toldOfKey) {
      log.warn(`the mTLS listener: other users can read its key; run chmod 600 on ${files.keyFile}`)
    }
    toldOfKey = open
    return held
  }

  let stamp = await stampOf(files)
  return {
    first: await read(),
    async look() {
      const found = await stampOf(files)
      if (found === stamp) return undefined
      // Of two files that are replaced one after the other, the first alone does not fit. What cannot
      // be used now is read again at each look: a certificate may only begin in a moment.
      const held = await read()
      stamp = found
      return held
    },
    listen: () => () => {},
  }
}

async function svidFollower(api: WorkloadApi): Promise<Follower> {
  const context = await api.x509().catch((error: Error) => {
    throw new CliError('unavailable', `the mTLS listener has no certificate: ${error.message}`, {
      hint: 'start the SPIFFE agent of this machine, and register this broker with it',
      cause: error,
    })
  })
  type Svid = (typeof context.svids)[number]
  const held = (svid: Svid): Held => ({ ...pemOf(svid), expiresAt: svid.expiresAt })
  const [first] = context.svids
  if (first === undefined) throw new CliError('unavailable', 'the Workload API has no X509-SVID')
  return {
    first: held(first),
    look: async () => undefined,
    listen(listener) {
      let known: Svid | undefined = first
      return api.onX509((next) => {
        const svid = next?.svids[0]
        // The listener is told at once of what is there already.
        if (svid !== undefined && svid.thumbprint === known?.thumbprint) return
        known = svid
        listener(svid && held(svid))
      })
    },
  }
}

/** @throws {Error} naming the file, when its certificate has ended or not begun */
function validNow(pair: KeyPair, certificateFile: string): Held {
  const { validFromDate, validToDate } = new X509Certificate(pair.cert)
  const now = Date.now()
  if (now >= validToDate.getTime()) {
    throw new Error(`${certificateFile} has expired at ${validToDate.toISOString()}`)
  }
  if (now < validFromDate.getTime()) {
    throw new Error(`${certificateFile} is not valid before ${validFromDate.toISOString()}`)
  }
  return { ...pair, expiresAt: validToDate.getTime() / 1000 }
}
