/**
 * Header fields as they were received. Every other view that Node offers joins fields of one name, keeps
 * the first of some (over HTTP/2 of `Authorization` too) or stops after a number of them, while what runs
 * behind us may read the raw list.
 */
import type { IncomingMessage } from 'node:http'

/**
 * The value of every field of this name, in their order.
 *
 * @param name in lower case
 */
export function headerValues(
  { rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>,
  name: string,
): string[] {
  const values: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i]!
    if (field.length === name.length && field.toLowerCase() === name) {
      values.push(rawHeaders[i + 1]!)
    }
  }
  return values
}

/**
 * Makes a request one that came without these fields, in every form in which Node hands them out.
 *
 * @param names in lower case
 */
export function removeHeaders(request: IncomingMessage, names: readonly string[]): void {
  const { rawHeaders } = request
  for (const name of names) {
    delete request.headers[name]
    // Not there over HTTP/2.
    delete request.headersDistinct?.[name]
  }
  const kept: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i]!
    if (!names.includes(field.toLowerCase())) kept.push(field, rawHeaders[i + 1]!)
  }
  if (kept.length < rawHeaders.length) rawHeaders.splice(0, rawHeaders.length, ...kept)
}
