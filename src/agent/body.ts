import { isJsonObject, type JsonObject, parseJson } from '../lib/json.ts'

/**
 * Reads at most `maxBytes` of a response's body; undefined when there is more, or when it is cut off.
 * What another party sends must not fill this one's memory.
 */
export async function readText(response: Response, maxBytes: number): Promise<string | undefined> {
  if (response.body === null) return ''
  const reader = response.body.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return Buffer.concat(chunks).toString('utf8')
      size += value.byteLength
      if (size > maxBytes) {
        await reader.cancel()
        return undefined
      }
      chunks.push(value)
    }
  } catch {
    return undefined
  }
}

/** Reads a body that should be one JSON object; undefined when it is anything else. */
export async function readObject(
  response: Response,
  maxBytes: number,
): Promise<JsonObject | undefined> {
  const text = await readText(response, maxBytes)
  return text === undefined ? undefined : parseObject(text)
}

export function parseObject(text: string): JsonObject | undefined {
  try {
    const json = parseJson(text)
    return isJsonObject(json) ? json : undefined
  } catch {
    return undefined
  }
}

/** Ends a response nobody will read, so that its connection is free again. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {})
}
