import { isJsonObject, type JsonObject, parseJson } from '../lib/json.ts'
import { readBounded } from '../lib/read-bounded.ts'

/**
 * Reads at most `maxBytes` of a response's body; undefined when there is more, or when it is cut off.
 */
export async function readText(response: Response, maxBytes: number): Promise<string | undefined> {
  try {
    const bytes = await readBounded(response.body, maxBytes)
    return bytes.byteLength > maxBytes ? undefined : Buffer.from(bytes).toString('utf8')
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
