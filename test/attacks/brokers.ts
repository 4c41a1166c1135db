/** Several brokers of one site, each with an audit log and a control socket of its own. */
import { readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { callControl, controlPath, findControl } from '../../src/cli/control.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { Target } from '../../src/revocation/target.ts'
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
    async listed() {
      const ids = new Set<string>()
      for (let cursor: string | null = ''; cursor !== null; ) {
        const page = await askAdminApi(
          controlPath(audit),
          `/v1/revocations?limit=100${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
        )
        for (const { id } of page.items as { id: string }[]) ids.add(id)
        cursor = page.next as string | null
      }
      return ids
    },
  }
}

/** @throws {Error} with the answer, when it is not 200 */
async function askAdminApi(control: string, path: string): Promise<JsonObject> {
  const socketPath = await findControl(control)
  if (socketPath === undefined) throw new Error('no broker answers')
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path }, async (answer) => {
      let text = ''
      for await (const chunk of answer) text += chunk
      if (answer.statusCode === 200) resolve(JSON.parse(text) as JsonObject)
      else reject(new Error(`${path}: ${answer.statusCode} ${text}`))
    })
    asked.once('error', reject)
    asked.end()
  })
}
