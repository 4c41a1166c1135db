/** The revocation feed of a broker process: it publishes, and hears itself like everybody else. */
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import type { SigningKeys } from '../mint/keys.ts'
import type { FeedTransport } from '../revocation/feed.ts'
import { RevocationPublisher } from '../revocation/publisher.ts'
import { type HeardEntry, Revocations } from '../revocation/revocations.ts'
import { available } from './settings.ts'
import { messageOf } from './text.ts'

/** A store that answers, but whose feed does not come round in this time, is not well. */
const FIRST_BEAT_MS = 15_000
const MINUTE_MS = 60_000
const LINES_A_MINUTE = 20

const now = () => Date.now() / 1000

export interface Feed {
  readonly publisher: RevocationPublisher
  readonly revocations: Revocations
  /** Told of everything that is heard. */
  onEntry: (entry: HeardEntry) => void
}

/** The publisher and a holder of this process' own; both have heard the feed when resolved. */
export async function openFeed(
  config: Config,
  { transport, keys, log }: { transport: FeedTransport; keys: SigningKeys; log: Logger },
  stack: AsyncDisposableStack,
): Promise<Feed> {
  const listener: Pick<Feed, 'onEntry'> = { onEntry: () => undefined }
  // Keys rotate: the set is asked for at each look, not once.
  const source = {
    find: (kid: string | undefined, algorithm: string) =>
      keys.verification(now()).find(kid, algorithm),
    renew: () => keys.reload(),
  }
  const logError = seldom((line) => log.error(line))
  const logWarning = seldom((line) => log.warn(line))
  let lastError: string | undefined
  const publisher = new RevocationPublisher({
    issuer: config.issuer,
    key: () => keys.current(now()),
    keys: source,
    transport,
    beatEveryMs: config.revocation.beatEveryMs,
    onError: (error) => {
      lastError = `revocations cannot be published: ${messageOf(error)}`
      logError(lastError)
    },
  })
  stack.defer(() => publisher.close())
  const revocations = new Revocations({
    issuer: config.issuer,
    keys: source,
    transport,
    staleAfterMs: config.revocation.staleAfterMs,
    onEntry: (entry) => listener.onEntry(entry),
    onRefused: ({ kind, why }) => logWarning(`a ${kind} of the revocation feed is refused: ${why}`),
  })
  stack.defer(() => revocations.close())
  await available(() =>
    within(FIRST_BEAT_MS, Promise.all([publisher.start(), revocations.start()]), () =>
      lastError === undefined ? 'no heartbeat of the revocation feed came back' : lastError,
    ),
  )
  return Object.assign(listener, { publisher, revocations })
}

/** Heartbeats come several times a second: the same trouble is one line a minute, and few are others. */
export function seldom(write: (line: string) => void): (line: string) => void {
  const said = new Set<string>()
  let since = Number.NEGATIVE_INFINITY
  return (line) => {
    const at = performance.now()
    if (at - since >= MINUTE_MS) {
      said.clear()
      since = at
    }
    if (said.has(line) || said.size >= LINES_A_MINUTE) return
    said.add(line)
    write(line)
  }
}

async function within<T>(ms: number, promise: Promise<T>, why: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(why())), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
