// Which connections this process opens, and a listener that nobody may ever call.
import { type AddressInfo, createServer, Socket } from 'node:net'

/** Until the end of what `t` stands for. */
export function watchConnections(t: { after(hook: () => void): void }) {
  const ports: number[] = []
  const { connect } = Socket.prototype
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]) {
    ports.push(portOf(args))
    return Reflect.apply(connect, this, args)
  } as typeof connect
  t.after(() => {
    Socket.prototype.connect = connect
  })
  return {
    /** Every port that was connected to since the last time it was asked. */
    taken: () => ports.splice(0),
  }
}

/** Node hands on its own normalised arguments, `[[options, callback]]`; others call it plainly. */
function portOf([first]: unknown[]): number {
  const options = Array.isArray(first) ? first[0] : first
  const port =
    typeof options === 'object' && options !== null ? Reflect.get(options, 'port') : first
  return Number(port)
}

export interface Trap {
  readonly port: number
  readonly calls: () => number
}

/** Listens on loopback. */
export async function startTrap(t: { after(hook: () => void): void }): Promise<Trap> {
  let calls = 0
  const server = createServer((socket) => {
    calls += 1
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => void server.close())
  return { port: (server.address() as AddressInfo).port, calls: () => calls }
}
