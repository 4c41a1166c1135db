import { fdatasync, write } from 'node:fs'

/** Appends the lines in one write and flushes them to the disk; resolves after the flush. */
export function appendLines(fd: number, lines: readonly string[]): Promise<void> {
  const bytes = Buffer.from(lines.length === 1 ? lines[0]! : lines.join(''))
  return new Promise((resolve, reject) => {
    const flush = () => fdatasync(fd, (error) => (error ? reject(error) : resolve()))
    const writeFrom = (offset: number) => {
      write(fd, bytes, offset, bytes.length - offset, null, (error, written) => {
        if (error) return reject(error)
        // A full disk can take a part of the batch without an error.
        if (written === 0) return reject(Object.assign(new Error('no progress'), { code: 'EIO' }))
        if (offset + written < bytes.length) return writeFrom(offset + written)
        flush()
      })
    }
    writeFrom(0)
  })
}
