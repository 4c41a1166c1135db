/**
 * Reads a body to its end, or until it is longer than `maxBytes`: then the rest is cancelled, and the
 * answer is one byte longer than the limit, which is how the caller learns of it. What another party
 * sends must not fill this one's memory.
 *
 * @throws what the stream breaks off with
 */
export async function readBounded(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    chunks.push(chunk)
    bytes += chunk.byteLength
    // Leaving the loop cancels the rest of the body.
    if (bytes > maxBytes) break
  }
  return Buffer.concat(chunks, Math.min(bytes, maxBytes + 1))
}
