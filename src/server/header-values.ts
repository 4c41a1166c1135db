import type { IncomingMessage } from 'node:http'

/** Every field of this name; Node joins repeated ones, which would hide that there were two. */
export function headerValues({ rawHeaders }: IncomingMessage, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i]!
    if (field.length === name.length && field.toLowerCase() === name) {
      values.push(rawHeaders[i + 1]!)
    }
  }
  return values
}

/** Makes a request one that came without these fields. */
export function removeHeaders(request: IncomingMessage, names: readonly string[]): void {
  const { rawHeaders } = request
  for (const name of names) delete request.headers[name]
  const kept: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i]!
    if (!names.includes(field.toLowerCase())) kept.push(field, rawHeaders[i + 1]!)
  }
  if (kept.length < rawHeaders.length) rawHeaders.splice(0, rawHeaders.length, ...kept)
}
