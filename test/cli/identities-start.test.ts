// How a broker starts on every kind of trust, and on what it does not.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sendTls } from '../server/tls.ts'
import { makeDomain } from '../spiffe/domains.ts'
import { EndpointServer } from '../spiffe/endpoint-server.ts'
import { type Running, serve, until } from './serving.ts'
import { askForToken, freePort, makeSite, type Site } from './site.ts'
import { makeTrustSite } from './trust-site.ts'
import { temporaryDirectory, writ } from './writ.ts'

async function workloadApi(t: TestContext) {
  const corp = await makeDomain('corp.test')
  const api = await EndpointServer.create()
  await api.start()
  t.after(async () => {
    await api.remove()
    await corp.remove()
  })
  const id = 'spiffe://corp.test'
  return {
    api,
    corp,
    bundles: {
      x509Bundles: { bundles: { [id]: corp.caDer } },
      jwtBundles: { bundles: { [id]: corp.jwks } },
    },
    identity: async () => ({ x509: { svids: [(await corp.svid('/broker')).message] } }),
  }
}

/** Bundle and listener's certificate both out of the Workload API. */
async function spireSite(t: TestContext, socket: string) {
  const url = `https://127.0.0.1:${await freePort()}`
  const site = await makeSite(await temporaryDirectory(t), {
    trust: [{ spiffe: 'corp.test', bundle: { workload_api: socket } }],
    listen: { mtls: new URL(url).host },
    mtls: { url, workload_api: socket },
  })
  return { ...site, mtls: url }
}

const NOT_FOR_US = { code: 7, details: 'no identity issued' }

describe('with the Workload API', { concurrency: 3 }, () => {
  test('a broker whose SVID comes late starts late, follows it, and says when it is taken away', async (t) => {
    const { api, corp, bundles, identity } = await workloadApi(t)
    api.say({ ...bundles, x509: NOT_FOR_US })
    const site = await spireSite(t, api.socket)
    const starting = serve(t, site.cwd)
    await sleep(2500)
    api.say(await identity())
    const broker: Running = await starting
    const here: Site = { ...site, domain: corp.development }
    const answered = await askForToken(here)
    assert.equal(answered.status, 200, JSON.stringify(answered.body))
    const tls = { ca: corp.caPem, checkServerIdentity: () => undefined }
    assert.equal((await sendTls(`${site.mtls}/healthz`, { tls })).status, 200)

    const failing = async () => {
      const { checks } = (await (await fetch(`${site.issuer}/readyz`)).json()) as {
        checks: Record<string, string>
      }
      return Object.keys(checks).filter((name) => checks[name] === 'failing')
    }
    assert.deepEqual(await failing(), [])
    api.say({ x509: NOT_FOR_US })
    await until(async () => (await failing()).join() === 'certificate')
    assert.match(broker.output().stderr, /its identity was taken away/)

    // An emptied bundle is a word of the domain's: it is obeyed at once, and nobody is left to be proved.
    api.say({ x509Bundles: { bundles: {} }, jwtBundles: { bundles: {} } })
    await until(async () => (await askForToken(here)).status === 400)
    await until(async () => (await failing()).join() === 'trust,certificate')
    broker.child.kill('SIGTERM')
    assert.equal(await broker.exit, 0)
  })

  test('a broker without an SVID of its own does not start, and says what to do', async (t) => {
    const { api, bundles } = await workloadApi(t)
    api.say({ ...bundles, x509: NOT_FOR_US })
    const site = await spireSite(t, api.socket)
    const ended = await writ(['serve', '--config', 'writ.yaml', '--json'], site)
    assert.equal(ended.code, 3, ended.stdout)
    const error = ended.json().error as { code: string; message: string; hint: string }
    assert.equal(error.code, 'unavailable')
    assert.match(error.message, /^the mTLS listener has no certificate: /)
    assert.match(error.hint, /register this broker/)
    assert.doesNotMatch(ended.stderr, /\n\s+at /)
  })

  test('a Workload API that nobody serves is a note of --check, when only a bundle is asked of it', async (t) => {
    const site = await makeSite(await temporaryDirectory(t), {
      trust: [{ spiffe: 'corp.test', bundle: { workload_api: 'unix:///nowhere/api.sock' } }],
    })
    const ended = await writ(['serve', '--check', '--config', 'writ.yaml', '--json'], site)
    assert.equal(ended.code, 0, ended.stdout)
    assert.match(JSON.stringify(ended.json().notes), /trust domain corp\.test/)
  })
})

type Settings = Record<string, unknown> & {
  trust: Record<string, unknown>[]
  clients: Record<string, unknown>[]
}
const MTLS = { url: 'https://broker.test', certificate_file: 'c.pem', key_file: 'c.key' }

const BROKEN: readonly (readonly [string, (settings: Settings) => void, RegExp])[] = [
  [
    'a key set that is not there',
    ({ trust }) => set(trust[3], { keys: { jwks_file: 'no.json' } }),
    /no\.json/,
  ],
  [
    'a key set that is none',
    ({ trust }) => set(trust[3], { keys: { jwks_file: 'writ.yaml' } }),
    /writ\.yaml/,
  ],
  [
    'authorities that are not there',
    ({ trust }) => set(trust[1], { ca_file: 'no.pem' }),
    /no\.pem/,
  ],
  [
    'a cluster over http',
    ({ trust }) => set(trust[1], { token_review: { url: 'http://k', token_file: 't' } }),
    /token_review\.url: expected the https URL/,
  ],
  [
    'two issuers of one alias',
    ({ trust }) => set(trust[3], { oidc: 'prod' }),
    /workloads prod is listed twice/,
  ],
  ['itself as an issuer of users', (all) => set(all.trust[4], { issuer: all.issuer }), /issuer/],
  [
    'a bootstrap bundle that is not there',
    ({ trust }) =>
      set(trust[0], {
        bundle: {
          endpoint: 'https://a.test',
          profile: 'https_spiffe',
          spiffe_id: 'spiffe://corp.test/server',
          bootstrap_file: 'no.json',
        },
      }),
    /bootstrap bundle of corp\.test, .*no\.json/,
  ],
  [
    'a socket that is none',
    ({ trust }) => set(trust[0], { bundle: { workload_api: '/run/agent.sock' } }),
    /write unix:\/\/\/run\/agent\.sock/,
  ],
  [
    'a listener without its certificate',
    (all) => set(all, { mtls: MTLS, listen: { ...(all.listen as object), mtls: '127.0.0.1:0' } }),
    /c\.pem/,
  ],
  [
    'a client whose workload is none',
    ({ clients }) => set(clients[0], { workload: 'batch' }),
    /clients\[0\]\.workload: expected a SPIFFE ID/,
  ],
]

function set(target: Record<string, unknown> | undefined, changes: object): void {
  Object.assign(target ?? {}, changes)
}

describe('a broker does not start on', { concurrency: 4 }, () => {
  for (const [index, [title, change, expected]] of BROKEN.entries()) {
    test(`${title}, and says where it is wrong`, async (t) => {
      const site = await makeTrustSite(t, await temporaryDirectory(t))
      const settings = JSON.parse(await readFile(site.config, 'utf8')) as Settings
      change(settings)
      await writeFile(join(site.cwd, 'writ.yaml'), JSON.stringify(settings))
      // The same on both ways in: what --check accepts is what starts.
      const check = index % 2 === 0 ? ['--check'] : []
      const ended = await writ(['serve', ...check, '--config', 'writ.yaml', '--json'], site)
      assert.equal(ended.code, 2, ended.stdout + ended.stderr)
      const { code, message } = ended.json().error as { code: string; message: string }
      assert.equal(code, 'configuration')
      assert.match(message, expected)
      assert.doesNotMatch(ended.stderr, /\n\s+at /)
    })
  }
})
