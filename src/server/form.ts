/**
 * The body of a token, introspection or revocation request (RFC 6749 §3.2, appendix B).
 *
 * Strict, because a lenient reader is a second opinion about what was asked: one spelling, no
 * parameter twice, no bytes that are not UTF-8. Error details name a parameter and never a value.
 */
import type { IncomingMessage } from 'node:http'
import { refuse } from '../refusal.ts'

const FORM_TYPE = /^application\/x-www-form-urlencoded(?:\s*;\s*charset="?utf-8"?)?\s*$/i
/** Anything outside printable ASCII had to be percent-encoded. */
const NOT_ENCODED = /[^\x21-\x7e]/
const MAX_PARAMETERS = 64
const NAME = /^[A-Za-z0-9_.:-]{1,100}$/

export type Form = ReadonlyMap<string, string>

export interface ReceivedForm {
  readonly form: Form
  /** The body as received, for whoever has to read it again. */
  readonly bytes: Buffer
}

/**
 * Reads and parses the body.
 *
 * @throws {Refusal} `request_malformed`, `request_too_large`
 */
export async function receiveForm(
  request: IncomingMessage,
  limitBytes: number,
): Promise<ReceivedForm> {
  const type = request.headers['content-type']
  if (type === undefined || !FORM_TYPE.test(type)) {
    refuse({ code: 'request_malformed', detail: 'expected application/x-www-form-urlencoded' })
  }
  if (request.headers['content-encoding'] !== undefined) {
    refuse({ code: 'request_malformed', detail: 'content-encoding is not supported' })
  }
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) {
    refuse({ code: 'request_too_large', limitBytes })
  }
  const bytes = await readBody(request, limitBytes)
  return { form: parseForm(bytes.toString('latin1')), bytes }
}

/** @throws {Refusal} `request_malformed`, `request_too_large` */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const fail = (why: () => never) => {
      request.removeAllListeners('data')
      request.pause()
      try {
        why()
      } catch (refusal) {
        reject(refusal)
      }
    }
    request.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > limitBytes) return fail(() => refuse({ code: 'request_too_large', limitBytes }))
      chunks.push(chunk)
    })
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    const cut = () =>
      fail(() => refuse({ code: 'request_malformed', detail: 'the body was cut short' }))
    request.once('error', cut)
    request.once('close', () => {
      if (!request.complete) cut()
    })
  })
}

/** @throws {Refusal} `request_malformed` */
export function parseForm(text: string): Form {
  const form = new Map<string, string>()
  if (text === '') return form
  if (NOT_ENCODED.test(text)) malformed('the body holds characters that must be percent-encoded')
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=')
    const name = decode(equals === -1 ? pair : pair.slice(0, equals))
    if (name === undefined || !NAME.test(name)) malformed('a parameter name is malformed')
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1))
    if (value === undefined) malformed(`${name} is not percent-encoded UTF-8`)
    if (form.has(name)) malformed(`${name} is given twice`)
    if (form.size === MAX_PARAMETERS) malformed('there are too many parameters')
    form.set(name, value)
  }
  // RFC 6749 §3.2: a parameter without a value counts as not given.
  for (const [name, value] of form) if (value === '') form.delete(name)
  return form
}

function decode(text: string): string | undefined {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text
  // Tokens, the longest values, need no decoding.
  if (!spaced.includes('%')) return spaced
  try {
    return decodeURIComponent(spaced)
  } catch {
    return undefined
  }
}

function malformed(detail: string): never {
  refuse({ code: 'request_malformed', detail })
}
