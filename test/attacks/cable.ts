/** A cable that can be cut without either end noticing: bytes stop, connections stay. */
import { connect, createServer, type Socket } from 'node:net'
import { freePort } from './program.ts'

export interface Cable {
  readonly port: number
  /** Nothing passes any more, in either direction; new connections are taken and hear nothing. */
  freeze(): void
  /** What was held back passes now. */
  thaw(): void
  close(): Promise<void>
}

export async function startCable(to: number): Promise<Cable> {
  let frozen = false
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1')
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      if (frozen) from.pause()
      from.on('data', (chunk) => into.write(chunk))
      from.on('error', () => undefined)
      from.on('close', () => {
        sockets.delete(from)
        into.destroy()
      })
    }
    // A socket without a listener for data does not flow; one with a listener does, unless paused.
    if (frozen) for (const socket of [near, far]) socket.pause()
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    port,
    freeze() {
      frozen = true
      for (const socket of sockets) socket.pause()
    },
    thaw() {
      frozen = false
      for (const socket of sockets) socket.resume()
    },
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
