/**
 * Bodies of requests, read once, and the forms in them (RFC 6749 §3.2, appendix B).
 *
 * Strict, because a lenient reader is a second opinion about what was asked: one spelling, no
 * parameter twice, no bytes that are not UTF-8. Errors name a parameter and never a value.
 */
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'

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

/** A body that is not taken; the message says why, in words for who sent it. */
export class BodyError extends Error {
  readonly fault: 'malformed' | 'too_large'
  /** The name of the parameter it is about, or nothing. */
  readonly parameter: string

  constructor(fault: BodyError['fault'], message: string, parameter = '') {
    super(message)
    this.name = 'BodyError'
    this.fault = fault
    this.parameter = parameter
  }
}

/**
 * Reads and parses the body.
 *
 * @throws {BodyError} as a rejection; the connection stays, so that the refusal can be told
 */
export async function receiveForm(
  request: IncomingMessage,
  limitBytes: number,
): Promise<ReceivedForm> {
  if (!FORM_TYPE.test(request.headers['content-type'] ?? '')) {
    malformed('expected application/x-www-form-urlencoded')
  }
  const bytes = await readBody(request, limitBytes)
  return { form: parseForm(bytes.toString('latin1')), bytes }
}

/**
 * Reads a body as it was sent, and none that is compressed.
 *
 * @throws {BodyError} as a rejection; the connection stays, so that the refusal can be told
 */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const { headers } = request
  if (headers['content-encoding'] !== undefined) malformed('content-encoding is not supported')
  if (Number(headers['content-length'] ?? 0) > limitBytes) tooLarge()
  return collect(request, limitBytes)
}

function collect(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const take = (chunk: Buffer) => {
      length += chunk.length
      if (length > limitBytes) return fail(tooLarge)
      chunks.push(chunk)
    }
    function fail(why: () => never): void {
      request.off('data', take)
      request.pause()
      try {
        why()
      } catch (error) {
        reject(error)
      }
    }
    const cut = () => fail(() => malformed('the body was cut short'))
    // Of a connection that ended while something else was waited for, nothing more is told.
    if (request.destroyed) return cut()
    request.on('data', take)
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    request.once('error', cut)
    request.once('close', () => {
      if (!request.complete) cut()
    })
  })
}

/**
 * @param text the body, a character for each of its bytes
 * @throws {BodyError}
 */
export function parseForm(text: string): Form {
  const form = new Map<string, string>()
  if (text === '') return form
  if (NOT_ENCODED.test(text)) malformed('the body holds characters that must be percent-encoded')
  // No further than there may be any, whatever there is.
  for (const pair of text.split('&', MAX_PARAMETERS + 1)) {
    const equals = pair.indexOf('=')
    const name = decode(equals === -1 ? pair : pair.slice(0, equals))
    if (name === undefined || !NAME.test(name)) malformed('a parameter name is malformed')
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1))
    if (value === undefined) malformed(`${name} is not percent-encoded UTF-8`, name)
    if (form.has(name)) malformed(`${name} is given twice`, name)
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

/**
 * A request like this one whose body can be read again, as oidc-provider does: as a stream. (It would
 * take a parsed `body` as well, but tells the operator on each start not to do that.)
 */
export function withBody(request: IncomingMessage, bytes: Buffer): IncomingMessage {
  const stream = new PassThrough()
  stream.end(bytes)
  return Object.create(request, {
    readable: { value: true },
    readableEncoding: { value: null },
    iterator: { value: stream.iterator.bind(stream) },
  })
}

function malformed(message: string, parameter?: string): never {
  throw new BodyError('malformed', message, parameter)
}

function tooLarge(): never {
  throw new BodyError('too_large', 'the body is too large')
}
