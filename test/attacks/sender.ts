/** What an agent sends, byte for byte, and in other spellings. Every credential made is remembered. */
import { generateKeyPairSync } from 'node:crypto'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { importSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'
import { sessionId } from '../../src/token/session-id.ts'
import { BOT, RESOURCE, type Site, TRUST_DOMAIN } from './site.ts'

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'

/** Every token, proof, SVID and private key of this run, in every spelling that was sent. */
export const credentials = new Set<string>()
export function remember(text: string): string {
  credentials.add(text)
  return text
}

export const seconds = (): number => Date.now() / 1000

/** A sender's key; its private half is remembered, so that it can be looked for. */
export function newKey(): SenderKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  remember(String(privateKey.export({ format: 'jwk' }).d))
  return importSenderKey(privateKey)
}

export function proofFor(
  key: SenderKey,
  url: string,
  more: { accessToken?: string; method?: string; now?: number; nonce?: string } = {},
): string {
  return remember(makeProof(key, { method: 'POST', url, now: seconds(), ...more }))
}

export interface Answer {
  readonly status: number
  readonly text: string
  readonly json: JsonObject
}

/** The bodies of all refusals of this run. */
export const refusals: string[] = []

function answerOf(status: number, text: string): Answer {
  if (status >= 400 || status === 0) refusals.push(text)
  let json: JsonObject = {}
  try {
    json = JSON.parse(text) as JsonObject
  } catch {
    // Not every answer is JSON; who needs the JSON will miss its members.
  }
  return { status, text, json }
}

/** Sends exactly these bytes on a connection of their own and reads to its end. */
export function sendRaw(port: number, bytes: string | Buffer): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.setTimeout(60_000, () => socket.destroy())
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      const received = Buffer.concat(chunks).toString('latin1')
      const [head = '', ...rest] = received.split('\r\n\r\n')
      const body = rest.join('\r\n\r\n')
      const chunked = /^transfer-encoding: chunked/im.test(head)
      const text = chunked ? body.replace(/^[0-9a-f]+\r\n|\r\n[0-9a-f]+(\r\n|$)/gi, '') : body
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0)
      resolve(answerOf(status, text.trim()))
    })
    socket.write(bytes)
  })
}

export type Header = readonly [name: string, value: string]

/** One request with exactly these header fields, in this order. */
export function sendFields(
  port: number,
  fields: readonly Header[],
  body: string | Buffer,
  target = '/mcp',
  method = 'POST',
): Promise<Answer> {
  const bytes = Buffer.from(body)
  const all: Header[] = [
    ...fields,
    ['Content-Length', String(bytes.length)],
    ['Connection', 'close'],
  ]
  const head = `${method} ${target} HTTP/1.1\r\n${all.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`
  return sendRaw(port, Buffer.concat([Buffer.from(head, 'latin1'), bytes]))
}

const agent = new Agent({ keepAlive: true, maxSockets: 24 })

/** One ordinary request over a kept connection; over another when that one was closed meanwhile. */
export function send(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(
      { agent, port, host: '127.0.0.1', path, method: 'POST', headers },
      async (response) => {
        const chunks: Buffer[] = []
        try {
          for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
        } catch (error) {
          reject(error)
        }
        resolve(answerOf(response.statusCode ?? 0, Buffer.concat(chunks).toString()))
      },
    )
    call.once('error', (error: NodeJS.ErrnoException) => {
      // Closed by a server that had not heard of the request.
      const isClosed = call.reusedSocket && error.code === 'ECONNRESET'
      if (isClosed) resolve(send(port, path, headers, body))
      else reject(error)
    })
    call.end(body)
  })
}

export interface Asked {
  readonly arguments?: JsonObject
  readonly key?: SenderKey
  readonly resource?: string
  readonly path?: string
  readonly input?: JsonObject
  /** Another broker process than the one at the issuer's address. */
  readonly port?: number
  readonly svid?: string
  readonly proof?: string
}

export interface Got extends Answer {
  readonly token: string
  readonly jti: string
  readonly key: SenderKey
  /** The proof it was asked for with. */
  readonly proof: string
  readonly session: string
}

/** The form of a request for one action token, or, without details, a session token. */
export function formFor(svid: string, asked: Asked | 'session'): URLSearchParams {
  const session = asked === 'session'
  const resource = session ? RESOURCE : (asked.resource ?? RESOURCE)
  const detail = session
    ? undefined
    : {
        type: 'mcp_action',
        locations: [resource],
        actions: ['tools/call'],
        identifier: 'add_note',
        arguments: asked.arguments ?? {},
        ...(asked.input === undefined ? {} : { input: asked.input }),
      }
  return new URLSearchParams({
    grant_type: TOKEN_EXCHANGE,
    resource,
    subject_token: svid,
    subject_token_type: JWT_TYPE,
    ...(detail === undefined ? {} : { authorization_details: JSON.stringify([detail]) }),
  })
}

export const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/** Asks the broker; answers whatever it says. */
export async function ask(site: Site, what: 'session' | 'action', asked: Asked = {}): Promise<Got> {
  const key = asked.key ?? newKey()
  const path = asked.path ?? BOT
  const svid = asked.svid ?? remember(await site.svid(path))
  const proof = asked.proof ?? proofFor(key, `${site.issuer}/token`)
  const port = asked.port ?? Number(new URL(site.issuer).port)
  const form = formFor(
    svid,
    what === 'session' ? 'session' : { ...asked, arguments: argumentsOf(asked) },
  )
  const answer = await send(port, '/token', { ...FORM, dpop: proof }, form.toString())
  const token = typeof answer.json.access_token === 'string' ? answer.json.access_token : ''
  if (token !== '') remember(token)
  const jti = token === '' ? '' : String(claimsOf(token).jti)
  const id = `spiffe://${TRUST_DOMAIN}${path}`
  return { ...answer, token, jti, key, proof, session: sessionId(id, id, { jkt: key.jkt }) }
}

/** As `ask`, again for as long as the broker says that it is temporarily unavailable. */
export async function obtain(
  site: Site,
  what: 'session' | 'action',
  asked: Asked = {},
): Promise<Got> {
  for (let attempt = 0; ; attempt++) {
    const got = await ask(site, what, asked)
    if (got.status === 200) return got
    if (got.status !== 503 || attempt === 100) {
      const why = JSON.stringify((await site.audited()).at(-1))
      throw new Error(`no token: ${got.status} ${got.text} ${why}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

export function argumentsOf(asked: { readonly arguments?: JsonObject }): JsonObject {
  return asked.arguments ?? { title: 'hello' }
}

export function claimsOf(token: string): JsonObject {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as JsonObject
}

/** A `tools/call` of the older era. */
export function callBody(args: Json = { title: 'hello' }, more: JsonObject = {}): string {
  return JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'add_note', arguments: args, ...more },
  })
}

export const LIST = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' })

export const MCP_HEADERS = {
  host: 'mcp.test',
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
}

/** Presents a token to a verifier as an honest client does. */
export function present(
  port: number,
  { token, key }: Pick<Got, 'token' | 'key'>,
  body: string = callBody(),
  proof: string = proofFor(key, RESOURCE, { accessToken: token }),
): Promise<Answer> {
  return send(port, '/mcp', { ...MCP_HEADERS, authorization: `DPoP ${token}`, dpop: proof }, body)
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** The other signature that the same key and text have: s → n − s. */
export function withOtherSignature(jws: string): string {
  const [head = '', payload = '', signature = ''] = jws.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  const other = (P256_ORDER - s).toString(16).padStart(64, '0')
  const twin = Buffer.concat([bytes.subarray(0, 32), Buffer.from(other, 'hex')])
  return remember(`${head}.${payload}.${twin.toString('base64url')}`)
}

/** The same bytes with other unused bits at the end: 64 bytes leave four of them. */
export function withTrailingBits(jws: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(jws.at(-1) ?? '')
  return remember(`${jws.slice(0, -1)}${alphabet[last ^ 1]}`)
}
