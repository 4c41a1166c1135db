/** What an admin does on the broker's own host: the admin API, over the control socket. */
import { randomUUID } from 'node:crypto'
import { listOf, pageOf, revocation } from '../../src/admin/schemas.ts'
import { type AdminClient, clientOnSocket } from '../../src/cli/admin-client.ts'
import { controlPath, findControl } from '../../src/cli/control.ts'
import type { Target } from '../../src/revocation/target.ts'

/** As `revokeBy`, at whichever broker has the socket there now. */
export async function revokeAt(auditDirectory: string, target: Target): Promise<string> {
  return await revokeBy(await localAdmin(auditDirectory), target)
}

/**
 * Resolved means acknowledged.
 *
 * @returns the revocation's id
 * @throws {Error} when it was not
 */
export async function revokeBy(admin: AdminClient, target: Target): Promise<string> {
  const wish = { targets: [target], reason: 'a test' }
  const key = randomUUID()
  const { items } = await admin.post('/v1/revocations', listOf(revocation), wish, { key })
  return items[0]!.id
}

/** What the broker lists as revoked: the ids. */
export async function listedBy(admin: AdminClient): Promise<Set<string>> {
  const ids = new Set<string>()
  for (let cursor: string | undefined | null; cursor !== null; ) {
    const query = { limit: 100, cursor }
    const page = await admin.get('/v1/revocations', pageOf(revocation), query)
    for (const { id } of page.items) ids.add(id)
    cursor = page.next
  }
  return ids
}

/** @throws {Error} when no broker has the socket there */
export async function localAdmin(auditDirectory: string): Promise<AdminClient> {
  const socket = await findControl(controlPath(auditDirectory))
  if (socket === undefined) throw new Error('no broker answers')
  return clientOnSocket(socket)
}
