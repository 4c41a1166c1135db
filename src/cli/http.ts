/**
 * One HTTP request, to a Unix socket or a URL. Redirects are not followed: what a command has been told
 * to ask is what it asks, and a proof is good for that address alone.
 */
import { type IncomingMessage, request as plainRequest, type RequestOptions } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { CliError } from './answer.ts'
import { printable } from './text.ts'

export interface HttpRequest {
  /** With the path and query; on a socket, its host means nothing. */
  readonly url: string
  readonly socket?: string | undefined
  readonly method: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface HttpAnswer {
  readonly status: number
  header(name: string): string | undefined
  /** @throws {CliError} unavailable, when it is too large or cut short */
  text(): Promise<string>
  readonly stream: IncomingMessage
}

/** Longer than any answer takes, shorter than people wait. */
const SILENCE_MS = 30_000
const MAX_ANSWER_BYTES = 16 * 1024 * 1024

/** Nobody answers there: not running, or not reachable from here. */
export class NobodyAnswers extends CliError {
  constructor(where: string, cause: Error & { readonly code?: string }) {
    const why = cause.code ?? cause.message
    super('unavailable', `nobody answers at ${printable(where)} (${printable(why)})`, { cause })
  }
}

/** @throws {NobodyAnswers}; whatever `signal` was aborted with */
export function send(asked: HttpRequest): Promise<HttpAnswer> {
  const { url, socket, method, body, signal } = asked
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>()
  const target = new URL(url)
  const headers = {
    'user-agent': 'writ',
    ...asked.headers,
    ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
  }
  const options: RequestOptions = { method, headers, agent: false }
  if (socket !== undefined) {
    options.socketPath = socket
    options.path = `${target.pathname}${target.search}`
  }
  if (signal !== undefined) options.signal = signal
  const start = target.protocol === 'https:' ? tlsRequest : plainRequest
  const call = socket === undefined ? start(target, options) : plainRequest(options)
  call.setTimeout(SILENCE_MS, () => call.destroy(new Error('no answer in time')))
  call.on('error', (error) => {
    if (signal?.aborted) return reject(signal.reason)
    reject(new NobodyAnswers(socket ?? target.origin, error))
  })
  call.on('response', (stream) => {
    resolve({
      status: stream.statusCode ?? 0,
      header: (name) => [stream.headers[name] ?? []].flat()[0],
      text: () => textOf(stream, socket ?? target.origin),
      stream,
    })
  })
  call.end(body)
  return promise
}

async function textOf(stream: IncomingMessage, where: string): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > MAX_ANSWER_BYTES) throw new Error('the answer is too large')
      chunks.push(chunk)
    }
  } catch (error) {
    throw new NobodyAnswers(where, error as Error)
  }
  return Buffer.concat(chunks).toString()
}
