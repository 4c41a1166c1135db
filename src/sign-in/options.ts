import { isIP } from 'node:net'
import type { AuditSink } from '../audit/record.ts'
import type { Documents } from '../ledger/documents.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { SigningKeys } from '../mint/keys.ts'
import type { Subject } from '../revocation/target.ts'
import { checkUrl } from '../token/web-url.ts'

/** What sign-in needs of a log; pino is one. Nothing that is logged here is a credential. */
export interface SignInLog {
  warn(about: object, message: string): void
  error(about: object, message: string): void
}

export interface SignInOptions {
  /** The admin listener as browsers reach it: an origin, `https:` or `http://localhost:<port>`. */
  readonly url: string
  /** What a passkey prompt calls this place. */
  readonly rpName: string
  readonly documents: Documents
  readonly ledger: Pick<Ledger, 'spend'>
  readonly audit: AuditSink
  /** The broker's, with which tokens of programs are verified. */
  readonly keys: Pick<SigningKeys, 'verification'>
  /** The broker's, which issues tokens to programs. */
  readonly issuer: string
  readonly revocations: { check(subject: Subject, now: number): void }
  /** Programs and what they may be allowed; a token says no more than what is allowed still. */
  readonly clients: readonly { readonly clientId: string; readonly scopes: readonly string[] }[]
  /** A browser's sign-in without a request for this long is over; 900 by default. */
  readonly idleSeconds?: number
  /** Every sign-in is over after this; 43,200 by default. */
  readonly absoluteSeconds?: number
  /** Seconds since the epoch. */
  readonly clock?: () => number
  readonly log?: SignInLog
}

/** Where people sign in. */
export interface Site {
  /** Without a slash at its end; also the issuer of sign-ins and the audience of tokens. */
  readonly url: string
  readonly origin: string
  readonly host: string
  readonly protocol: 'http' | 'https'
  /** What passkeys are made for (WebAuthn §5.1.2). */
  readonly rpId: string
  readonly rpName: string
}

/** @throws {TypeError} when passkeys or cookies could not work there */
export function parseSite(url: string, rpName: string): Site {
  const parsed = checkUrl(url, 'url')
  if (parsed.pathname !== '/' || parsed.search !== '' || parsed.hash !== '') {
    throw new TypeError('url must be an origin, without a path')
  }
  if (isIP(parsed.hostname.replace(/^\[|\]$/g, '')) !== 0) {
    throw new TypeError('url must have a host name, passkeys know no addresses: use localhost')
  }
  return {
    url: parsed.origin,
    origin: parsed.origin,
    host: parsed.host,
    protocol: parsed.protocol === 'https:' ? 'https' : 'http',
    rpId: parsed.hostname,
    rpName,
  }
}
