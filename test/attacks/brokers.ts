/** Several brokers of one site, each with an audit log and a control socket of its own. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AdminClient } from '../../src/cli/admin-client.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { Target } from '../../src/revocation/target.ts'
import { listedBy, localAdmin, revokeBy } from './admin.ts'
import { answering, freePort, type Program, startProgram } from './program.ts'
import type { Site } from './site.ts'

export interface BrokerProcess extends Program {
  /** Where it answers under the site's issuer. */
  readonly port: number
  /** Resolved means acknowledged. */
  revoke(target: Target): Promise<string>
  /** What it lists as revoked, as an admin sees it: the ids. */
  listed(): Promise<Set<string>>
}

/** The first one listens at the issuer's own address. Whoever starts them stops them. */
export async function startBrokers(site: Site, count: number): Promise<BrokerProcess[]> {
  const first = Number(new URL(site.issuer).port)
  const ports = [first, ...(await Promise.all(Array.from({ length: count - 1 }, freePort)))]
  return Promise.all(ports.map((port) => startBroker(site, port)))
}

export async function startBroker(site: Site, port: number): Promise<BrokerProcess> {
  const text = JSON.parse(await readFile(site.config, 'utf8')) as JsonObject
  const audit = join(site.directory, `audit-${port}`)
  const config = join(site.directory, `writ-${port}.yaml`)
  const listen = { public: `127.0.0.1:${port}`, admin: '127.0.0.1:0' }
  await writeFile(config, JSON.stringify({ ...text, listen, audit: { directory: audit } }))
  const program = startProgram(['src/cli/main.ts', 'serve', '--config', config])
  try {
    await answering(`http://127.0.0.1:${port}/readyz`, program)
  } catch (error) {
    await program.stop('SIGKILL')
    throw error
  }
  let admin: AdminClient | undefined
  // Once found it is kept: this process has the socket for as long as it lives.
  const found = async () => {
    admin ??= await localAdmin(audit)
    return admin
  }
  return {
    ...program,
    port,
    revoke: async (target) => revokeBy(await found(), target),
    listed: async () => listedBy(await found()),
  }
}
