import { isJsonObject, type JsonObject, parseJson } from '../lib/json.ts'
import { readBounded } from '../lib/read-bounded.ts'

/** How long a body may take that nobody else has a limit for. */
export const BODY_TIMEOUT_MS = 5_000

/**
 * Reads at most `maxBytes` of a response's body; undefined when there is more, or when it is cut off.
 *
 * @param withinMs how long it may take, where the request itself has no limit: who answers one byte at
 * a time would otherwise hold the caller for as long as it likes
 */
export async function readText(
  response: Response,
  maxBytes: number,
  withinMs?: number,
): Promise<string | undefined> {
  try {
    const body = withinMs === undefined ? response.body : limited(response.body, withinMs)
    const bytes = await readBounded(body, maxBytes)
    return bytes.byteLength > maxBytes ? undefined : Buffer.from(bytes).toString('utf8')
  } catch {
    return undefined
  }
}

/** Ends with an error, and ends its source, when it has not ended by itself in time. */
function limited(
  body: ReadableStream<Uint8Array> | null,
  withinMs: number,
): ReadableStream<Uint8Array> | null {
  const signal = AbortSignal.timeout(withinMs)
  return body?.pipeThrough(new TransformStream<Uint8Array, Uint8Array>(), { signal }) ?? null
}

/** Reads a body that should be one JSON object, as `readText` does; undefined when it is anything else. */
export async function readObject(
  response: Response,
  maxBytes: number,
  withinMs?: number,
): Promise<JsonObject | undefined> {
  const text = await readText(response, maxBytes, withinMs)
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
