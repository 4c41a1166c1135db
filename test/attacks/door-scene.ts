/** What all attacks share: a broker, a verifier, honest credentials, and the means to forge. */
import { createHmac, generateKeyPairSync } from 'node:crypto'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { openKeys } from '../../src/mint/keys.ts'
import type { ReasonCode } from '../../src/refusal.ts'
import { type SigningKey, signJws } from '../../src/token/jws.ts'
import type { SenderKey } from '../../src/token/proof.ts'
import {
  type Answer,
  claimsOf,
  FORM,
  formFor,
  type Got,
  type Header,
  MCP_HEADERS,
  newKey,
  obtain,
  proofFor,
  remember,
  seconds,
  sendFields,
} from './sender.ts'
import { OTHER_RESOURCE, RESOURCE, type Site, type VerifierProcess } from './site.ts'

export interface Attack {
  readonly door: 'broker' | 'verifier'
  readonly title: string
  attack(scene: Scene): Promise<Answer>
  readonly refused: readonly [status: number, reason: ReasonCode, evidence?: JsonObject]
}

export interface Scene {
  readonly site: Site
  readonly verifier: VerifierProcess
  /** For `add_note {title: 'hello'}`; every attack at the server is tried with it. */
  readonly issued: Got
  readonly session: Got
  readonly elsewhere: Got
  /** For a second round of the same call. */
  readonly continued: Got
  readonly input: JsonObject
  readonly brokerKey: SigningKey
  readonly brokerJwk: JsonObject
  readonly svid: string
  /** A text of the revocation feed, signed with the key that signs tokens. */
  readonly feedText: string
  /** A request for a token; `spoil` says what is not as an honest client sends it. */
  ask(spoil?: SpoiltForm): Promise<Answer>
  /** A call; `spoil` says what is not as an honest client sends it. */
  call(spoil?: SpoiltCall): Promise<Answer>
  /** Signs claims as the broker does, with what is changed in them. */
  mint(claims: JsonObject, key?: SigningKey): string
  /** An SVID of this domain, or what looks like one. */
  makeSvid(claims: JsonObject, header?: JsonObject): string
}

export interface SpoiltForm {
  readonly svid?: string
  readonly proof?: string
  readonly proofs?: readonly string[]
  readonly form?: Readonly<Record<string, string | undefined>>
  readonly details?: Json | string
  /** Added to the body as it is. */
  readonly tail?: string
  readonly body?: string
  readonly headers?: readonly Header[]
  readonly without?: readonly string[]
  readonly host?: string
  readonly target?: string
}

export interface SpoiltCall {
  readonly token?: string
  readonly scheme?: string
  readonly key?: SenderKey
  readonly proofs?: readonly string[]
  /** What the proof says instead of what is true. */
  readonly claims?: Parameters<typeof proofFor>[2] & { url?: string }
  readonly body?: string | Buffer
  readonly headers?: readonly Header[]
  readonly without?: readonly string[]
  readonly target?: string
  readonly method?: string
}

export const base64url = (value: Json | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A JWS that says HS256, keyed with whatever its maker thinks the verifier might use. */
export function hs256(header: JsonObject, payload: JsonObject, secret: string): string {
  const input = `${base64url({ ...header, alg: 'HS256' })}.${base64url(payload)}`
  return remember(`${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`)
}

export function unsigned(header: JsonObject, payload: JsonObject, alg = 'none'): string {
  return remember(`${base64url({ ...header, alg })}.${base64url(payload)}.`)
}

export function strangerKey(kid: string): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicJwk = { ...(publicKey.export({ format: 'jwk' }) as JsonObject), kid, alg: 'ES256' }
  return { kid, algorithm: 'ES256', key: privateKey, publicJwk }
}

/** @param site just made, and stopped by whoever made it */
export async function makeScene(site: Site): Promise<Scene> {
  await site.startBroker()
  // An attack is refused for what it is; how a silent feed is refused is tried elsewhere.
  const verifier = await site.startVerifier({ staleAfterMs: 10_000 })
  // The verifier's own store refuses tokens older than itself.
  await new Promise((resolve) => setTimeout(resolve, 1100))
  const svid = remember(await site.svid())
  const input = { inputResponses: { sure: { action: 'accept' } }, requestState: 'round 2' }
  const issued = await obtain(site, 'action')
  const keys = await openKeys(`${site.directory}/keys`, { now: seconds() })
  const brokerKey = keys.current(seconds())
  const [brokerJwk] = keys.jwks(seconds()).keys as [JsonObject]
  keys.close()
  const port = Number(new URL(site.issuer).port)
  const { host } = new URL(site.issuer)
  const domainKey = await domainKeyOf(site)

  return {
    site,
    verifier,
    issued,
    session: await obtain(site, 'session'),
    elsewhere: await obtain(site, 'action', { resource: OTHER_RESOURCE }),
    continued: await obtain(site, 'action', { input }),
    input,
    brokerKey,
    brokerJwk,
    svid,
    feedText: await firstFeedText(site),

    ask(spoil = {}) {
      const form = formFor(spoil.svid ?? svid, {})
      form.set('authorization_details', JSON.stringify([detailFor({ title: 'hello' })]))
      if (spoil.details !== undefined) {
        const { details } = spoil
        const text = typeof details === 'string' ? details : JSON.stringify(details)
        form.set('authorization_details', text)
      }
      for (const [name, value] of Object.entries(spoil.form ?? {})) {
        if (value === undefined) form.delete(name)
        else form.set(name, value)
      }
      const proofs = spoil.proofs ?? [spoil.proof ?? proofFor(newKey(), `${site.issuer}/token`)]
      const headers: Header[] = [
        ['Host', spoil.host ?? host],
        ...Object.entries(FORM),
        ...proofs.map((proof): Header => ['DPoP', proof]),
      ]
      const body = spoil.body ?? `${form}${spoil.tail ?? ''}`
      return sendFields(port, spoilt(headers, spoil), body, spoil.target ?? '/token')
    },

    call(spoil = {}) {
      const { url = RESOURCE, ...claims } = spoil.claims ?? {}
      const token = spoil.token ?? issued.token
      const proof = { accessToken: token, ...claims }
      const proofs = spoil.proofs ?? [proofFor(spoil.key ?? issued.key, url, proof)]
      const headers: Header[] = [
        ...Object.entries(MCP_HEADERS),
        ['authorization', `${spoil.scheme ?? 'DPoP'} ${token}`],
        ...proofs.map((one): Header => ['dpop', one]),
      ]
      const body = spoil.body ?? messageOf('{"title":"hello"}')
      const { target, method } = spoil
      return sendFields(verifier.port, spoilt(headers, spoil), body, target, method)
    },

    mint(claims, key = brokerKey) {
      const now = Math.floor(seconds())
      const all = { ...claimsOf(issued.token), iat: now, exp: now + 60, ...claims }
      return remember(signJws({ typ: 'at+jwt' }, withoutUndefined(all), key))
    },

    makeSvid(claims, header = {}) {
      const now = Math.floor(seconds())
      const honest = { sub: 'spiffe://corp.test/agents/bots/a', aud: [site.issuer] }
      const all = { ...honest, iat: now, exp: now + 60, ...claims }
      return remember(signJws({ typ: 'JWT', ...header }, withoutUndefined(all), domainKey))
    },
  }
}

/** A `tools/call` of the older era around this text of its arguments, and other members of params. */
export function messageOf(args: string, more = ''): string {
  return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add_note","arguments":${args}${more}}}`
}

export function detailFor(args: JsonObject, more: JsonObject = {}): JsonObject {
  return {
    type: 'mcp_action',
    locations: [RESOURCE],
    actions: ['tools/call'],
    identifier: 'add_note',
    arguments: args,
    ...more,
  }
}

/** The same as text, for what `JSON.stringify` would not write. */
export function detailText(args: string): string {
  return JSON.stringify([detailFor({})]).replace('"arguments":{}', `"arguments":${args}`)
}

function spoilt(
  headers: readonly Header[],
  {
    headers: more = [],
    without = [],
  }: { headers?: readonly Header[]; without?: readonly string[] },
): Header[] {
  return [...headers.filter(([name]) => !without.includes(name.toLowerCase())), ...more]
}

function withoutUndefined(claims: Readonly<Record<string, Json | undefined>>): JsonObject {
  return Object.fromEntries(
    Object.entries(claims).filter(([, value]) => value !== undefined),
  ) as JsonObject
}

async function firstFeedText(site: Site): Promise<string> {
  const response = await fetch(`${site.issuer}/revocations`)
  let text = ''
  // Leaving the loop ends the stream.
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString()
    const found = /event: beat\ndata: (\S+)\n\n/.exec(text)?.[1]
    if (found !== undefined) return found
  }
  throw new Error('the feed ended')
}

/** The key that signs the development domain's SVIDs, for those that no domain would issue. */
async function domainKeyOf(site: Site): Promise<SigningKey> {
  const { createPrivateKey } = await import('node:crypto')
  const { readFile } = await import('node:fs/promises')
  const bundle = JSON.parse(await readFile(site.domain.bundleFile, 'utf8')) as {
    keys: JsonObject[]
  }
  const jwk = bundle.keys.find(({ use }) => use === 'jwt-svid') as JsonObject
  const key = createPrivateKey(await readFile(`${site.domain.directory}/jwt-svid.key`))
  return { kid: String(jwk.kid), algorithm: 'ES256', key, publicJwk: jwk }
}
