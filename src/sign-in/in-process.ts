/**
 * Sends one request to an application inside this process. The sign-in of the console trades its code
 * for a token here: over the network it would have to know how it is reached from itself.
 */
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'

export interface InProcessAnswer {
  readonly status: number
  readonly body: string
}

export async function postInProcess(
  listener: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  path: string,
  form: Readonly<Record<string, string>>,
): Promise<InProcessAnswer> {
  const bytes = Buffer.from(new URLSearchParams(form).toString())
  const request = new IncomingMessage(new Socket())
  request.method = 'POST'
  request.url = path
  request.headers = {
    host: 'in-process',
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(bytes.length),
  }
  request.push(bytes)
  request.push(null)
  const response = new ServerResponse(request)
  const chunks: Buffer[] = []
  // Nothing is connected to it: what would be sent is kept.
  response.end = ((chunk?: unknown) => {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk))
    return response
  }) as typeof response.end
  await listener(request, response)
  return { status: response.statusCode, body: Buffer.concat(chunks).toString() }
}
