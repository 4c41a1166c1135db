import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Address, Config } from '../config/config.ts'

export interface AdminAddress {
  /** As browsers reach it. */
  readonly url: string
  readonly listen: Address
  /** Call it right before listening. */
  release(): Promise<void>
}

/**
 * Where the admin side is to be, which is settled before it opens: sign-ins, cookies and tokens are for
 * that very address. Where the configuration leaves the port to the system, one is taken, and held
 * until the admin side listens there.
 *
 * @throws {Error} when no port can be had
 */
export async function holdAdminAddress(
  { admin, listen: { admin: listen } }: Pick<Config, 'admin' | 'listen'>,
  stack: AsyncDisposableStack,
): Promise<AdminAddress> {
  const { url = `http://localhost:${listen.port}` } = admin
  if (admin.url !== undefined || listen.port !== 0) return { url, listen, release: async () => {} }
  const holder = createServer((socket) => socket.destroy()).listen(0, listen.host)
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  const release = () => new Promise<void>((resolve) => holder.close(() => resolve()))
  stack.defer(release)
  return { url: `http://localhost:${port}`, listen: { ...listen, port }, release }
}
