// Makes JWT-SVIDs, right and wrong ones, without the code under test.
import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const ISSUER = 'https://broker.test'
export const NOW = 1_800_000_000

export interface IssuerKey {
  readonly kid: string
  readonly alg: string
  readonly key: KeyObject
  readonly jwk: Record<string, unknown>
}

const CURVES: Record<string, string> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }

export function makeKey(alg: string, kid = `kid-${alg}`): IssuerKey {
  const pair =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : alg.startsWith('ES')
        ? generateKeyPairSync('ec', { namedCurve: CURVES[alg] ?? 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'jwt-svid' }
  return { kid, alg, key: pair.privateKey, jwk }
}

export function bundleOf(...keys: readonly IssuerKey[]): Record<string, unknown> {
  return { spiffe_sequence: 1, spiffe_refresh_hint: 60, keys: keys.map(({ jwk }) => jwk) }
}

const base64url = (text: string) => Buffer.from(text).toString('base64url')

/** Signs exactly the texts it is given. */
export function signTexts(header: string, payload: string, { alg, key }: IssuerKey): string {
  const input = `${base64url(header)}.${base64url(payload)}`
  return `${input}.${signatureOf(input, alg, key).toString('base64url')}`
}

function signatureOf(input: string, alg: string, key: KeyObject): Buffer {
  if (alg === 'none') return Buffer.alloc(0)
  if (alg === 'EdDSA') return sign(null, Buffer.from(input), key)
  if (alg.startsWith('HS')) {
    return createHmac(`sha${alg.slice(2)}`, key.export({ format: 'der', type: 'pkcs8' }))
      .update(input)
      .digest()
  }
  const padding = alg.startsWith('PS')
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: Number(alg.slice(2)) / 8 }
    : {}
  return sign(`sha${alg.slice(2)}`, Buffer.from(input), {
    key,
    dsaEncoding: 'ieee-p1363',
    ...padding,
  })
}

export function payload(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    sub: 'spiffe://corp.test/agents/bot',
    aud: ISSUER,
    iat: NOW - 10,
    exp: NOW + 290,
    ...changes,
  }
}

/** A good SVID but for the changes; a member set to undefined is left out. */
export function svid(
  key: IssuerKey,
  changes: { header?: Record<string, unknown>; payload?: Record<string, unknown> } = {},
): string {
  const header = { alg: key.alg, kid: key.kid, typ: 'JWT', ...changes.header }
  return signTexts(JSON.stringify(header), JSON.stringify(payload(changes.payload)), key)
}

export async function temporaryDirectory(t: {
  after(hook: () => Promise<void>): void
}): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-identity-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export async function writeBundle(file: string, bundle: unknown): Promise<void> {
  await writeFile(file, typeof bundle === 'string' ? bundle : JSON.stringify(bundle))
}
