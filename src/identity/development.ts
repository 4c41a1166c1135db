import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory } from '../lib/make-directory.ts'
import { Refusal } from '../refusal.ts'
import { thumbprintOf } from '../token/jwk.ts'
import { type SigningKey, signJws } from '../token/jws.ts'
import { createAuthority, issueLeaf, type X509Svid } from './development-x509.ts'
import { isTrustDomainName, parseSpiffeId } from './spiffe-id.ts'

export interface DevelopmentDomain {
  readonly trustDomain: string
  readonly directory: string
  /** The SPIFFE bundle document a broker trusts this domain by. */
  readonly bundleFile: string
  /** @throws {TypeError} when `path` makes no SPIFFE ID */
  issueJwtSvid(svid: {
    /** As in `/agents/report-bot`. */
    readonly path: string
    /** The broker's issuer. */
    readonly audience: string
    readonly lifetimeSeconds: number
    /** Seconds since the epoch. */
    readonly now: number
  }): Promise<string>
  /**
   * Without `publicKey` a key pair is made, and its private half returned and kept nowhere.
   * @throws {TypeError} when `path` makes no SPIFFE ID
   */
  issueX509Svid(svid: {
    readonly path: string
    readonly publicKey?: KeyObject
    readonly lifetimeSeconds: number
    /** Seconds since the epoch; the present by default. */
    readonly now?: number
  }): Promise<X509Svid>
}

export interface DevelopmentDomainPlace {
  /** Where the keys of the domain live, mode 0600 in a directory of mode 0700. */
  readonly directory: string
  /** Where the bundle document goes; `bundle.json` in the directory by default. */
  readonly bundleFile?: string
}

/** Names that can belong to nobody (RFC 2606, RFC 6761), themselves or as the last label. */
const RESERVED_NAME = /(?:^|\.)(?:test|example|localhost|invalid)$/

const FILES = { domain: 'domain.json', ca: 'ca.pem', caKey: 'ca.key', jwtKey: 'jwt-svid.key' }

/**
 * Makes a trust domain FOR DEVELOPMENT: a CA, a key for JWT-SVIDs, and the bundle that vouches for
 * both. Anyone who can read the directory can be any workload of the domain, so its name must be a
 * reserved one: no such domain can be taken for one in production.
 *
 * @throws {TypeError} for any other name; {Error} when the directory already holds a domain
 */
export async function createDevelopmentDomain(
  place: DevelopmentDomainPlace & { readonly trustDomain: string },
): Promise<DevelopmentDomain> {
  const { directory, trustDomain } = place
  checkName(trustDomain)
  await makeDirectory(directory, 0o700)
  await writeNew(join(directory, FILES.domain), {
    warning:
      'FOR DEVELOPMENT ONLY: whoever can read this directory can be any workload of the domain',
    trustDomain,
  })
  const jwtKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writePrivateKey(join(directory, FILES.jwtKey), jwtKey.privateKey)
  const authority = await createAuthority(trustDomain)
  await writePrivateKey(join(directory, FILES.caKey), authority.privateKey)
  await writeFile(join(directory, FILES.ca), authority.certificatePem, { flag: 'wx', mode: 0o644 })

  const signingKey = await signingKeyOf(jwtKey.privateKey)
  await writeNew(bundleFileOf(place), {
    spiffe_sequence: 1,
    spiffe_refresh_hint: 60,
    keys: [
      { use: 'x509-svid', ...authority.publicJwk, x5c: [authority.certificateBase64] },
      { use: 'jwt-svid', kid: signingKey.kid, ...signingKey.publicJwk },
    ],
  })
  return await openDevelopmentDomain(place)
}

/**
 * Opens the development domain in a directory.
 *
 * @throws {Error} when there is none, or when others can read its keys
 */
export async function openDevelopmentDomain(
  place: DevelopmentDomainPlace,
): Promise<DevelopmentDomain> {
  const { directory } = place
  const trustDomain = await readName(directory)
  const signingKey = await signingKeyOf(await readPrivateKey(join(directory, FILES.jwtKey)))
  const caKey = await readPrivateKey(join(directory, FILES.caKey))
  const caPem = await readFile(join(directory, FILES.ca), 'utf8')

  return {
    trustDomain,
    directory,
    bundleFile: bundleFileOf(place),
    async issueJwtSvid({ path, audience, lifetimeSeconds, now }) {
      const sub = workloadId(trustDomain, path)
      const iat = Math.floor(now)
      const payload = { sub, aud: [audience], iat, exp: iat + lifetimeSeconds }
      return signJws({ typ: 'JWT' }, payload, signingKey)
    },
    async issueX509Svid({ path, publicKey, lifetimeSeconds, now = Date.now() / 1000 }) {
      const id = workloadId(trustDomain, path)
      return await issueLeaf({ caPem, caKey, id, publicKey, lifetimeSeconds, now })
    },
  }
}

function checkName(trustDomain: string): void {
  if (!isTrustDomainName(trustDomain) || !RESERVED_NAME.test(trustDomain)) {
    throw new TypeError(
      `"${trustDomain}": a development trust domain ends in .test, .example, .localhost or .invalid`,
    )
  }
}

function workloadId(trustDomain: string, path: string): string {
  try {
    const id = parseSpiffeId(`spiffe://${trustDomain}${path}`)
    if (id.trustDomain === trustDomain && id.path !== '') return id.text
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
  }
  throw new TypeError(`"${path}" is no path of a SPIFFE ID, as in /agents/report-bot`)
}

function bundleFileOf({ directory, bundleFile }: DevelopmentDomainPlace): string {
  return bundleFile ?? join(directory, 'bundle.json')
}

async function signingKeyOf(key: KeyObject): Promise<SigningKey> {
  const { kty, crv, x, y } = createPublicKey(key).export({ format: 'jwk' })
  const publicJwk = { kty, crv, x, y } as Record<string, string>
  return { kid: await thumbprintOf(publicJwk), algorithm: 'ES256', key, publicJwk }
}

async function readName(directory: string): Promise<string> {
  let text: string
  try {
    text = await readFile(join(directory, FILES.domain), 'utf8')
  } catch (cause) {
    throw new Error(`${directory} holds no development trust domain`, { cause })
  }
  const { trustDomain } = JSON.parse(text) as { trustDomain?: unknown }
  if (typeof trustDomain !== 'string') throw new Error(`${directory} names no trust domain`)
  checkName(trustDomain)
  return trustDomain
}

// `wx`: a domain is never replaced by accident, all SVIDs of the old one would be void.
async function writeNew(file: string, json: object): Promise<void> {
  await writeFile(file, `${JSON.stringify(json, null, 2)}\n`, { flag: 'wx', mode: 0o644 })
}

async function writePrivateKey(file: string, key: KeyObject): Promise<void> {
  const pem = key.export({ format: 'pem', type: 'pkcs8' })
  await writeFile(file, pem, { flag: 'wx', mode: 0o600 })
}

async function readPrivateKey(file: string): Promise<KeyObject> {
  const { mode } = await stat(file)
  if ((mode & 0o077) !== 0) throw new Error(`${file} can be read by others; run chmod 600 on it`)
  return createPrivateKey(await readFile(file, 'utf8'))
}
