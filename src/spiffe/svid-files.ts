import { createPrivateKey, type KeyObject } from 'node:crypto'
import { parseBundle } from '../identity/bundles/bundle.ts'
import { isTrustDomainName } from '../identity/spiffe-id.ts'
import { readIfChanged } from '../lib/changed-file.ts'
import { SpiffeError } from './error.ts'
import type { X509Source } from './source.ts'
import { believe, type X509Context } from './x509-context.ts'

export interface SvidFilesOptions {
  /** PEM: the certificate, then its intermediates. */
  readonly certificateFile: string
  /** PEM, not encrypted. */
  readonly keyFile: string
  /** A SPIFFE bundle document or PEM certificates for each trust domain; our own is among them. */
  readonly bundles: readonly { readonly trustDomain: string; readonly file: string }[]
  /** How often the files are looked at; every second by default. */
  readonly pollMs?: number
  /** Told in words when the files have changed and cannot be used. */
  readonly onProblem?: (error: SpiffeError) => void
}

export interface SvidFiles extends X509Source {
  close(): void
}

const MAX_FILE_BYTES = 1024 * 1024
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/g

/**
 * An identity out of files that something else keeps up to date. They are read again when one of them
 * changes; while they do not fit together (one is replaced after the other) the last good ones stand,
 * at most until their certificate expires.
 *
 * @throws {SpiffeError} `identity_invalid`, `identity_expired`, naming the file; {TypeError} for a
 *   trust domain without a proper name, or twice
 */
export async function openSvidFiles(options: SvidFilesOptions): Promise<SvidFiles> {
  const names = options.bundles.map(({ trustDomain }) => trustDomain)
  for (const [index, name] of names.entries()) {
    if (!isTrustDomainName(name)) throw new TypeError(`"${name}" is no trust domain`)
    if (names.indexOf(name) !== index) throw new TypeError(`trust domain ${name} is listed twice`)
  }
  const files = [
    options.certificateFile,
    options.keyFile,
    ...options.bundles.map(({ file }) => file),
  ]
  const listeners = new Set<(context: X509Context | undefined) => void>()
  const onProblem = options.onProblem ?? (() => {})
  let lastProblem: string | undefined
  let read = await Promise.all(files.map(readFile))
  let context = contextOf(options, read)
  let timer = setTimeout(look, options.pollMs ?? 1000).unref()
  let closed = false

  async function look(): Promise<void> {
    try {
      const next = await Promise.all(files.map(readFile))
      if (next.some(({ fingerprint }, index) => fingerprint !== read[index]?.fingerprint)) {
        const replaced = contextOf(options, next)
        read = next
        context = replaced
        if (!closed) for (const listener of [...listeners]) listener(context)
      }
      lastProblem = undefined
    } catch (error) {
      if (!(error instanceof SpiffeError)) throw error
      // The same trouble at every look is one line in the operator's log.
      if (error.message !== lastProblem) onProblem(error)
      lastProblem = error.message
    }
    if (!closed) timer = setTimeout(look, options.pollMs ?? 1000).unref()
  }

  return {
    async x509() {
      if (closed) throw new SpiffeError('closed', 'the SVID files have been closed')
      return context
    },
    onX509(listener) {
      listeners.add(listener)
      listener(context)
      return () => listeners.delete(listener)
    },
    close() {
      closed = true
      clearTimeout(timer)
    },
  }
}

interface Read {
  readonly file: string
  readonly text: string
  readonly fingerprint: string
}

async function readFile(file: string): Promise<Read> {
  try {
    const { bytes, fingerprint } = await readIfChanged(file, undefined, MAX_FILE_BYTES)
    return { file, text: bytes.toString('utf8'), fingerprint }
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? (error as Error).message
    throw invalid(file, `cannot be read (${why})`)
  }
}

function contextOf({ bundles }: SvidFilesOptions, files: readonly Read[]): X509Context {
  const [certificate, key, ...rest] = files
  if (certificate === undefined || key === undefined) throw new TypeError('two files are needed')
  const chain = certificatesOf(certificate)
  const privateKey = keyOf(key)
  const authorities = new Map<string, readonly Uint8Array[]>()
  for (const [index, { trustDomain }] of bundles.entries()) {
    const file = rest[index]
    if (file !== undefined) authorities.set(trustDomain, authoritiesOf(file))
  }
  const now = Date.now() / 1000
  return believe([{ spiffeId: undefined, hint: '', chain, privateKey }], authorities, now)
}

function certificatesOf({ file, text }: Read): readonly Uint8Array[] {
  const ders = [...text.matchAll(PEM_CERTIFICATE)].map(
    ([, base64 = '']) => new Uint8Array(Buffer.from(base64, 'base64')),
  )
  if (ders.length === 0) throw invalid(file, 'has no certificate in PEM')
  return ders
}

function keyOf({ file, text }: Read): KeyObject {
  try {
    return createPrivateKey(text)
  } catch {
    // OpenSSL's words stay out: they are about the key.
    throw invalid(file, 'has no unencrypted private key in PEM')
  }
}

function authoritiesOf(read: Read): readonly Uint8Array[] {
  if (!read.text.trimStart().startsWith('{')) return certificatesOf(read)
  try {
    return parseBundle(read.text).x509Authorities.map(({ der }) => der)
  } catch (error) {
    throw invalid(read.file, `is no SPIFFE bundle: ${(error as Error).message}`)
  }
}

function invalid(file: string, what: string): SpiffeError {
  return new SpiffeError('identity_invalid', `${file} ${what}`)
}
