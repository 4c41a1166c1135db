import type { Certificate } from '../x509/certificate.ts'
import { type Bundle, MAX_BUNDLE_BYTES, MAX_KEYS, parseJwtBundle } from './bundle.ts'
import { readAuthority } from './bundle-authority.ts'
import type { BundleFollower, StreamedBundle, StreamSource } from './bundle-source.ts'
import { type HeldBundle, SVID_KINDS, type SvidKind } from './held-bundle.ts'

/**
 * Follows a stream of bundles. Each message replaces its kind at once, and a message that does not
 * know the domain any more distrusts it at once. A lost stream, or a message that is no bundle,
 * leaves the last good one of that kind serving for a bounded time.
 *
 * @param startMs how long `start` waits for both kinds, or for trouble
 */
export function followStream(
  { stream }: StreamSource,
  held: HeldBundle,
  startMs: number,
): BundleFollower {
  const first = Promise.withResolvers<void>()
  const silent = new Set<SvidKind>(SVID_KINDS)
  const problems: Record<SvidKind, readonly string[]> = { jwt: [], x509: [] }
  let closed = false
  let running: { close(): void } | undefined

  function install(kind: SvidKind, read: () => Partial<Bundle>): void {
    silent.delete(kind)
    try {
      const parts = read()
      problems[kind] = parts.problems ?? []
      // What is wrong with the other kind is not mended by this one.
      held.install({ ...parts, problems: [...problems.jwt, ...problems.x509] })
    } catch (error) {
      lose(`the last ${kind} bundle`, error instanceof Error ? error.message : String(error), [
        kind,
      ])
    }
  }

  function lose(what: string, why: string, kinds: readonly SvidKind[]): void {
    for (const kind of kinds) problems[kind] = [`${what} cannot be used: ${why}`]
    held.lose(what, why, kinds)
  }

  function onBundle({ jwt, x509 }: StreamedBundle): void {
    if (closed) return
    if (jwt !== undefined) install('jwt', () => readKeys(jwt))
    if (x509 !== undefined) install('x509', () => readAuthorities(x509 ?? []))
    if (silent.size === 0) first.resolve()
  }

  function onProblem(detail: string, kind?: SvidKind): void {
    if (closed) return
    lose('the stream', detail, kind === undefined ? SVID_KINDS : [kind])
    first.resolve()
  }

  return {
    async start() {
      running = stream.start(onBundle, onProblem)
      const timer = setTimeout(() => {
        held.lose('the stream', `it has said nothing about ${[...silent].join(' and ')} yet`, [
          ...silent,
        ])
        first.resolve()
      }, startMs)
      await first.promise
      clearTimeout(timer)
    },
    // A stream tells by itself; there is nothing to ask.
    async reload() {},
    close() {
      closed = true
      running?.close()
      first.resolve()
    },
  }
}

function readKeys(jwks: Uint8Array | null): Partial<Bundle> {
  if (jwks === null) return { jwtKeys: [] }
  if (jwks.byteLength > MAX_BUNDLE_BYTES) throw new Error('it is too large for a bundle')
  return parseJwtBundle(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(jwks))
}

// Not one authority is left that could be read: the message is taken all the same. It says that
// what was trusted before is not in it.
function readAuthorities(ders: readonly Uint8Array[]): Partial<Bundle> {
  if (ders.length > MAX_KEYS) throw new Error(`it has more than ${MAX_KEYS} authorities`)
  const problems: string[] = []
  const authorities = new Map<string, Certificate>()
  for (const [index, der] of ders.entries()) {
    const authority = readAuthority(der)
    if (typeof authority === 'string') problems.push(`authority ${index} is left out: ${authority}`)
    else authorities.set(authority.thumbprint, authority)
  }
  return { x509Authorities: [...authorities.values()], problems }
}
