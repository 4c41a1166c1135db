import { readIfChanged } from '../../lib/changed-file.ts'
import { MAX_BUNDLE_BYTES, parseBundle } from './bundle.ts'
import type { BundleFollower, FileSource } from './bundle-source.ts'
import type { HeldBundle } from './held-bundle.ts'

/**
 * Follows a bundle file, which may be replaced at any time. What is well-formed takes effect at the
 * next look, an emptied bundle included. What is not well-formed, such as a file caught
 * half-written, leaves the last good bundle serving for a bounded time.
 *
 * A sequence that goes back is taken and told: only the operator writes here, and putting back
 * yesterday's file is a thing operators do.
 */
export function followFile(
  { trustDomain, file }: FileSource,
  held: HeldBundle,
  pollMs: number,
): BundleFollower {
  /** What the file looked like when it was last read; undefined asks for another look. */
  let fingerprint: string | undefined
  let looking: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false

  async function read(): Promise<void> {
    const found = await readIfChanged(file, fingerprint, MAX_BUNDLE_BYTES)
    if (found === undefined || closed) return
    const bundle = parseBundle(textOf(found.bytes))
    const problems = [...bundle.problems]
    const before = held.sequence
    if (before !== undefined && bundle.sequence !== undefined && bundle.sequence < before) {
      problems.push(`spiffe_sequence went back from ${before} to ${bundle.sequence}`)
    }
    held.install({ ...bundle, problems })
    fingerprint = found.fingerprint
  }

  async function look(): Promise<void> {
    try {
      await read()
    } catch (error) {
      fingerprint = undefined
      held.lose(file, messageOf(error))
    }
  }

  // One look at a time: two overlapping ones could install an older text over a newer one.
  async function lookAlone(): Promise<void> {
    while (looking !== undefined) await looking
    looking = look().finally(() => {
      looking = undefined
    })
    await looking
  }

  function schedule(): void {
    timer = setTimeout(async () => {
      await lookAlone()
      if (!closed) schedule()
    }, pollMs)
    timer.unref()
  }

  return {
    async start() {
      try {
        await read()
      } catch (error) {
        throw new Error(`bundle of ${trustDomain}, ${file}: ${messageOf(error)}`)
      }
      if (!closed) schedule()
    },
    async reload() {
      fingerprint = undefined
      await lookAlone()
    },
    close() {
      closed = true
      clearTimeout(timer)
    },
  }
}

/**
 * A bundle document in a file.
 *
 * @throws {Error} when there is none, it is too large, or it is not UTF-8
 */
export async function readBundleFile(file: string): Promise<string> {
  return textOf((await readIfChanged(file, undefined, MAX_BUNDLE_BYTES)).bytes)
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
