// SVIDs that live for a minute are replaced under callers that never stop calling; so are the keys of
// the authorities that sign them.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from 'node:tls'
import type { Face } from './agent.ts'
import type { AuthorityKind, CertificateFiles, Spire } from './spire.ts'
import { AGENT, explain, PARTNER, SERVER, startWorld, type World } from './world.ts'

const CALLERS: readonly (readonly [string, Face])[] = [AGENT, PARTNER].flatMap((id) =>
  (['jwt', 'x509', 'mtls'] as const).map((face) => [id, face] as const),
)
const PAUSE_MS = 400
/** SPIRE replaces an SVID of 70 seconds after 35: this is time for four of them. */
const RUN_SECONDS = 150
/** By when everybody has heard of a new authority: bundle endpoints are asked once a minute. */
const KNOWN_SECONDS = 80
/** By when agents have new SVIDs in place of those whose authority is tainted. */
const REPLACED_SECONDS = 20
/** Time for a bundle to come from the server to the broker. */
const HEARD_MS = 5_000

let world: World

before(async () => {
  world = await startWorld()
  await world.startServer(SERVER)
})
after(() => world?.stop())
explain(() => world)

test('not one call fails while every SVID and every authority is replaced', async (t) => {
  const until = Date.now() + RUN_SECONDS * 1000
  const failures: string[] = []
  let calls = 0
  const seen = { broker: new Set<string>(), server: new Set<string>() }

  async function callOn([id, face]: readonly [string, Face]): Promise<void> {
    while (Date.now() < until) {
      const started = Date.now()
      await world
        .agent(id)
        .greet(face)
        .then(
          () => {
            calls += 1
          },
          (error: Error) => {
            const second = RUN_SECONDS - Math.round((until - started) / 1000)
            failures.push(`${id} as ${face}, second ${second}: ${error.message}`)
          },
        )
      await pause(PAUSE_MS)
    }
  }

  async function watchCertificates(): Promise<void> {
    while (Date.now() < until) {
      seen.broker.add(await certificateAt(world.mtlsUrl))
      seen.server.add(await certificateAt(world.resource))
      await pause(1000)
    }
  }

  await Promise.all([
    ...CALLERS.map(callOn),
    watchCertificates(),
    ...[world.corp, world.partner].flatMap((spire) =>
      (['x509', 'jwt'] as const).map((kind) => replaceAuthority(spire, kind)),
    ),
  ])
  t.diagnostic(`${calls} calls, ${seen.broker.size} certificates of the broker`)
  const refused = (await world.broker.audit())
    .filter(({ outcome }) => outcome === 'refused')
    .map((record) => JSON.stringify(record))
  assert.equal(
    failures.length,
    0,
    `${failures.length} failed\n${[...failures.slice(0, 8), ...refused.slice(0, 8)].join('\n')}`,
  )
  for (const [who, certificates] of Object.entries(seen)) {
    assert.ok(certificates.size >= 3, `${who} showed ${certificates.size} certificates`)
  }
  const records = await world.broker.audit()
  for (const [id, face] of CALLERS) {
    if (face !== 'mtls') continue
    const keys = new Set(
      records.filter(({ workload }) => workload === id).map(({ key }) => String(key)),
    )
    const certificates = [...keys].filter((key) => key.startsWith('x5t#S256:'))
    assert.ok(certificates.length >= 3, `${id} had ${certificates.length} certificates`)
  }
})

/** As an operator does it: known to all first, then used, and the old one away when nothing needs it. */
async function replaceAuthority(spire: Spire, kind: AuthorityKind): Promise<void> {
  await pause(5_000)
  const id = await spire.prepareAuthority(kind)
  await pause(KNOWN_SECONDS * 1000)
  // The partner's CA is below one that stays. What a JWT key signed is not called back.
  const away = kind === 'x509' && spire === world.corp
  const kept = away ? await world.takeSvid() : undefined
  const old = await spire.activateAuthority(kind, id)
  if (kept === undefined) return
  assert.equal(await askToken(kept), 200)
  await pause(10_000)
  await spire.taintAuthority(kind, old)
  await pause(REPLACED_SECONDS * 1000)
  await spire.revokeAuthority(kind, old)
  await pause(HEARD_MS)
  assert.ok(Date.now() < (await endOf(kept)), 'the SVID is refused for its signer, not for its age')
  assert.equal(await askToken(kept), 401)
}

/** The status of the broker's answer to somebody who holds an X.509-SVID of the agent. */
async function askToken({ certificateFile, keyFile }: CertificateFiles): Promise<number> {
  const [cert, key] = [await readFile(certificateFile), await readFile(keyFile)]
  const { resource } = world
  const form = { grant_type: 'client_credentials', client_id: AGENT, resource }
  return await new Promise((resolve, reject) => {
    const sent = request(
      `${world.mtlsUrl}/token`,
      {
        ...{ cert, key, rejectUnauthorized: false, agent: false, method: 'POST' },
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      },
      (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      },
    )
    sent.once('error', reject)
    sent.end(new URLSearchParams(form).toString())
  })
}

async function endOf({ certificateFile }: CertificateFiles): Promise<number> {
  return new X509Certificate(await readFile(certificateFile)).validToDate.getTime()
}

/** The fingerprint of what a server shows, to somebody who does not ask who it is. */
function certificateAt(url: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false })
    socket.setTimeout(5000, () => socket.destroy(new Error(`${url}: no handshake`)))
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      const { fingerprint256 } = socket.getPeerCertificate()
      socket.destroy()
      resolve(fingerprint256)
    })
  })
}
