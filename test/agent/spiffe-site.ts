/** A workload with a Workload API of its own, on a real socket, and what `mcp-writ/spiffe` makes of it. */
import type { SpiffeConnect, SpiffePeer } from '../../src/agent/index.ts'
import { createSpiffe } from '../../src/spiffe/index.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { type Domain, makeDomain, type Svid } from '../spiffe/domains.ts'
import { EndpointServer } from '../spiffe/endpoint-server.ts'
import type { Tls } from './servers.ts'

export type { Domain }
export { makeDomain }

export const tlsOf = async (domain: Domain, path: string): Promise<Tls> => domain.svid(path)

export interface Workload {
  readonly spiffe: SpiffeConnect
  /** Who had to be at the other ends, in order. */
  readonly asked: SpiffePeer[]
  /** Of the certificate that is current. */
  readonly thumbprint: string
  /** The Workload API hands out a new certificate, maybe of another path; resolves when the workload has it. */
  rotate(newPath?: string): Promise<void>
  close(): Promise<void>
}

/** @param denied whether the Workload API says that this process has no identity */
export async function makeWorkload(
  domain: Domain,
  path: string,
  denied = false,
): Promise<Workload> {
  let svid: Svid = await domain.svid(path)
  const endpoint = await EndpointServer.create()
  await endpoint.start()
  const denial = { code: 7, details: 'no identity issued' }
  endpoint.say({ x509: denied ? denial : { svids: [svid.message] } })
  const { connect, close } = createSpiffe({
    audience: 'https://broker.example',
    socket: endpoint.socket,
    ...(denied && { waitMs: 50 }),
  })
  const asked: SpiffePeer[] = []
  const noting = <T extends Pick<SpiffeConnect, 'fetchTo'>>(on: T): T => ({
    ...on,
    fetchTo(peer) {
      asked.push(peer)
      return on.fetchTo(peer)
    },
  })
  const thumbprint = () => certificateThumbprint(svid.chain[0] ?? new Uint8Array())
  async function until(condition: () => Promise<boolean>): Promise<void> {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return {
    asked,
    spiffe: { ...noting(connect), pinned: async () => noting(await connect.pinned()) },
    get thumbprint() {
      return thumbprint()
    },
    async rotate(newPath = path) {
      svid = await domain.svid(newPath)
      endpoint.say({ x509: { svids: [svid.message] } })
      await until(async () => (await connect.thumbprint()) === thumbprint())
    },
    async close() {
      await close()
      await endpoint.remove()
    },
  }
}
