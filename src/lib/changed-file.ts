import { open } from 'node:fs/promises'

export interface FileRead {
  readonly bytes: Buffer
  /** Differs whenever the file may hold something else. */
  readonly fingerprint: string
}

/**
 * Reads a file that may be replaced at any time, unless it is the one that is known already. The
 * opened file is asked, not its name, so that a rename in between cannot mix two files.
 *
 * @param known the fingerprint of the last reading
 * @returns undefined when nothing has changed
 * @throws {Error} when it cannot be read or is larger than `maxBytes`
 */
export async function readIfChanged(
  file: string,
  known: undefined,
  maxBytes: number,
): Promise<FileRead>
export async function readIfChanged(
  file: string,
  known: string | undefined,
  maxBytes: number,
): Promise<FileRead | undefined>
export async function readIfChanged(
  file: string,
  known: string | undefined,
  maxBytes: number,
): Promise<FileRead | undefined> {
  const handle = await open(file, 'r')
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await handle.stat({ bigint: true })
    const fingerprint = `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
    if (fingerprint === known) return undefined
    if (size > BigInt(maxBytes)) {
      throw new Error(`it is too large: more than ${maxBytes} bytes`)
    }
    return { bytes: await handle.readFile(), fingerprint }
  } finally {
    await handle.close()
  }
}
