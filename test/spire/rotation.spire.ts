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
/**
 * For so long after that a connection that stands on an SVID of before may be given requests: half of the
 * time that was left to it. Who is not trusted any more is cut off in the middle of one.
 */
const LET_GO_SECONDS = 40
/** A machine that is busy takes its time; what never comes is told all the same. */
const PATIENCE_MS = 120_000

let world: World

before(async () => {
  world = await startWorld()
  await world.startServer(SERVER)
})
after(() => world?.stop())
explain(() => world)

test('not one call fails while every SVID and every authority is replaced', async (t) => {
  const until = Date.now() + RUN_SECONDS * 1000
  let replacing = true
  const goesOn = () => replacing || Date.now() < until
  const failures: string[] = []
  let calls = 0
  const seen = { broker: new Set<string>(), server: new Set<string>() }

  async function callOn([id, face]: readonly [string, Face]): Promise<void> {
    while (goesOn()) {
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
    while (goesOn()) {
      seen.broker.add((await certificateAt(world.mtlsUrl)).fingerprint256)
      seen.server.add((await certificateAt(world.resource)).fingerprint256)
      await pause(1000)
    }
  }

  await Promise.all([
    ...CALLERS.map(callOn),
    watchCertificates(),
    Promise.all(
      [world.corp, world.partner].flatMap((spire) =>
        (['x509', 'jwt'] as const).map((kind) => replaceAuthority(spire, kind)),
      ),
    ).finally(() => {
      replacing = false
    }),
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
  const before = await authoritiesOf(spire)
  const id = await spire.prepareAuthority(kind)
  await pause(KNOWN_SECONDS * 1000)
  // The partner's CA is below one that stays. What a JWT key signed is not called back.
  const away = kind === 'x509' && spire === world.corp
  if (!away) {
    await spire.activateAuthority(kind, id)
    return
  }
  const now = await authoritiesOf(spire)
  const fresh = now.filter(({ raw }) => before.every((one) => !one.raw.equals(raw)))
  assert.equal(fresh.length, 1)
  await eventually('everybody knows the new authority', async () => {
    const trusted = await Promise.all(
      [AGENT, PARTNER].map(async (one) => (await world.agent(one).show()).trusted),
    )
    return trusted.every((list) => fresh.every(({ raw }) => list.includes(raw.toString('base64'))))
  })
  const kept = await world.takeSvid()
  const old = await spire.activateAuthority(kind, id)
  assert.equal(await askToken(kept), 200)
  await pause(10_000)
  await spire.taintAuthority(kind, old)
  await eventually('nobody shows an SVID of the old authority', async () => {
    const { certificate } = await world.agent(AGENT).show()
    const shown = [
      new X509Certificate(Buffer.from(certificate, 'base64')),
      await certificateAt(world.mtlsUrl),
      await certificateAt(world.resource),
    ]
    return shown.every((one) => before.every(({ publicKey }) => !one.verify(publicKey)))
  })
  await pause(LET_GO_SECONDS * 1000)
  await spire.revokeAuthority(kind, old)
  await eventually('the broker refuses what the old authority signed', async () => {
    return (await askToken(kept)) === 401
  })
  assert.ok(Date.now() < (await endOf(kept)), 'the SVID is refused for its signer, not for its age')
}

/** The CAs of the domain's bundle. */
async function authoritiesOf(spire: Spire): Promise<X509Certificate[]> {
  const { keys } = JSON.parse(await spire.bundle()) as { keys: { use: string; x5c?: string[] }[] }
  return keys
    .filter(({ use }) => use === 'x509-svid')
    .flatMap(({ x5c = [] }) => x5c.map((der) => new X509Certificate(Buffer.from(der, 'base64'))))
}

/** @throws {Error} that says what never came */
async function eventually(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const until = Date.now() + PATIENCE_MS
  while (!(await isSo())) {
    if (Date.now() > until) throw new Error(`it did not come to this: ${what}`)
    await pause(500)
  }
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

/** What a server shows, to somebody who does not ask who it is. */
function certificateAt(url: string): Promise<X509Certificate> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false })
    socket.setTimeout(5000, () => socket.destroy(new Error(`${url}: no handshake`)))
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate()
      socket.destroy()
      if (certificate === undefined) reject(new Error(`${url}: no certificate`))
      else resolve(certificate)
    })
  })
}
