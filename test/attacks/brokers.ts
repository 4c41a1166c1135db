/** Several brokers of one site, each with an audit log and a control socket of its own. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { callControl, controlPath } from '../../src/cli/control.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { Target } from '../../src/revocation/target.ts'
import { answering, freePort, type Program, startProgram } from './program.ts'
import type { Site } from './site.ts'

export interface BrokerProcess extends Program {
  /** Where it answers under the site's issuer. */
  readonly port: number
  /** Resolved means acknowledged. */
  revoke(target: Target): Promise<string>
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
  await answering(`http://127.0.0.1:${port}/readyz`, program)
  return {
    ...program,
    port,
    async revoke(target) {
      const wish = { target: { ...target }, reason: 'a test', by: 'a test' }
      const answer = await callControl(controlPath(audit), 'revocations', wish)
      if (answer === undefined) throw new Error('no broker answers')
      return String((answer.revocation as JsonObject).id)
    },
  }
}
