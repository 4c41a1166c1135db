/** The connections of a listener on which nothing has been asked yet, so that closing waits for none. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'

export interface Connections {
  /**
   * Ends every connection that has not brought one byte of a request, in a TLS handshake or after it. To
   * `node:http` these are not idle, and those in a handshake are not even known to it.
   */
  endSilent(): void
}

/** Follows them from now on; to be called before the server listens. */
export function followConnections(server: Server): Connections {
  const shaking = new Map<string, Socket>()
  const carrying = new Set<Socket>()

  function carry(socket: Socket): void {
    carrying.add(socket)
    socket.once('close', () => carrying.delete(socket))
  }

  if (server instanceof TlsServer) {
    // Before the listener of the server itself, which gives the connection away.
    server.prependListener('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      shaking.set(peer, socket)
      socket.once('close', () => {
        if (shaking.get(peer) === socket) shaking.delete(peer)
      })
    })
    server.on('secureConnection', (socket: Socket) => {
      shaking.delete(peerOf(socket))
      carry(socket)
    })
  } else {
    server.on('connection', carry)
  }

  return {
    endSilent() {
      for (const socket of shaking.values()) socket.destroy()
      // Of a TLS connection, what was sent in it counts, and not its handshake.
      for (const socket of carrying) if (socket.bytesRead === 0) socket.destroy()
    },
  }
}

/** A TLS socket and the connection it came of have this in common, and nothing else that is public. */
function peerOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return JSON.stringify([remoteAddress, remotePort, localAddress])
}
