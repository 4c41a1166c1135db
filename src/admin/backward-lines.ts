/** The lines of a file from its end to its beginning, in blocks, so that the newest cost least. */
import { open } from 'node:fs/promises'

const BLOCK_BYTES = 64 * 1024
/** A longer line is no record of ours; it is skipped as a broken one. */
const MAX_LINE_BYTES = 4 * 1024 * 1024
const NEWLINE = 0x0a

export interface BackwardLine {
  /** Undefined when it is too long to be looked at. */
  readonly bytes: Buffer | undefined
  /** How many bytes it has, also when it is too long. */
  readonly length: number
  /** Where it begins: reading on from here gives the line before it. */
  readonly start: number
}

/**
 * @param end where to begin, the start of a line read before; the file's end when not given
 * @throws {RangeError} when no line begins at `end`
 * @throws {Error} of the file system
 */
export async function* backwardLines(file: string, end?: number): AsyncGenerator<BackwardLine> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    let position = end ?? size
    if (end !== undefined && end > 0) {
      const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, end - 1)
      if (buffer[0] !== NEWLINE) throw new RangeError('no line begins here')
    }
    /** What is known of the line that is being read, its end first in the file and last in here. */
    let pieces: Buffer[] = []
    let pieceBytes = 0
    let tooLong = false
    const keep = (piece: Buffer) => {
      pieceBytes += piece.length
      tooLong ||= pieceBytes > MAX_LINE_BYTES
      if (tooLong) pieces = []
      else if (piece.length > 0) pieces.unshift(Buffer.from(piece))
    }
    /** The line that begins here, when it is none of the empty ones around newlines. */
    const line = (start: number): BackwardLine | undefined => {
      const length = pieceBytes
      const bytes = tooLong ? undefined : Buffer.concat(pieces)
      const found = length === 0 ? undefined : { bytes, length, start }
      pieces = []
      pieceBytes = 0
      tooLong = false
      return found
    }
    while (position > 0) {
      const from = Math.max(0, position - BLOCK_BYTES)
      const block = Buffer.alloc(position - from)
      const { bytesRead } = await handle.read(block, 0, block.length, from)
      if (bytesRead < block.length) throw new Error('the file became shorter while it was read')
      let until = block.length
      for (let at = block.lastIndexOf(NEWLINE); at !== -1; ) {
        keep(block.subarray(at + 1, until))
        const found = line(from + at + 1)
        if (found !== undefined) yield found
        until = at
        at = at === 0 ? -1 : block.lastIndexOf(NEWLINE, at - 1)
      }
      keep(block.subarray(0, until))
      position = from
    }
    const first = line(0)
    if (first !== undefined) yield first
  } finally {
    await handle.close()
  }
}
