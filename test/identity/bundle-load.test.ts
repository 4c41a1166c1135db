// Withdrawal and rotation under load: four trust domains, one of each source, change what they vouch
// for about ten times a second, while SVIDs of both kinds are proved all the time. Every answer must
// be the one that the bundle in effect at that moment calls for.
import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BundleSource, Bundles, StreamedBundle } from '../../src/identity/bundles/bundles.ts'
import { LOOPBACK, startEndpoint, web, webSource } from './bundle-endpoints.ts'
import { svid } from './svids.ts'
import {
  bundleText,
  type Domain,
  fileWith,
  leafOf,
  makeDomain,
  NEITHER,
  nowSeconds,
  openFor,
  until,
} from './trust.ts'

const POOL = 4
const GENERATIONS = 30
const PROOFS = 3000

/** Which of the pool are vouched for, by kind. */
interface Generation {
  readonly jwt: ReadonlySet<number>
  readonly x509: ReadonlySet<number>
}

/** A trust domain whose bundle changes. */
interface Changing {
  readonly name: string
  readonly pool: readonly Domain[]
  readonly source: BundleSource
  /** Authorities that stay: an endpoint cannot be authenticated without its own. */
  readonly kept: readonly number[]
  /** All that were ever published, by sequence. */
  readonly published: Map<bigint, Generation>
  /** Publishes; a file half-written before, an endpoint that fails or answers with the past. */
  put(sequence: bigint, text: string, trouble: boolean): Promise<void>
  /** The sequence of the bundle that is believed at this moment. */
  inEffect(bundles: Bundles): bigint
}

const poolOf = (name: string) =>
  Promise.all(Array.from({ length: POOL }, (_, i) => makeDomain(name, `kid-${i}`)))

function textOf(pool: readonly Domain[], { jwt, x509 }: Generation, sequence: bigint): string {
  const contents = {
    jwt: pool.filter((_, i) => jwt.has(i)).map(({ key }) => key),
    x509: pool.filter((_, i) => x509.has(i)).map(({ authority }) => authority),
  }
  return bundleText(contents, { spiffe_sequence: Number(sequence), spiffe_refresh_hint: 0 })
}

const ALL: Generation = { jwt: new Set([0, 1, 2, 3]), x509: new Set([0, 1, 2, 3]) }

const sequenceOf = (bundles: Bundles, name: string) =>
  bundles.health().find(({ trustDomain }) => trustDomain === name)?.sequence ?? 0n

async function byFile(t: TestContext): Promise<Changing> {
  const name = 'file.test'
  const pool = await poolOf(name)
  const file = await fileWith(t, textOf(pool, ALL, 1n))
  return {
    name,
    pool,
    source: { trustDomain: name, file },
    kept: [],
    published: new Map([[1n, ALL]]),
    async put(_sequence, text, trouble) {
      if (trouble) {
        await writeFile(file, text.slice(0, text.length / 2))
        await sleep(15)
      }
      await writeFile(`${file}.new`, text)
      await rename(`${file}.new`, file)
    },
    inEffect: (bundles) => sequenceOf(bundles, name),
  }
}

async function byEndpoint(
  t: TestContext,
  profile: 'https_web' | 'https_spiffe',
): Promise<Changing> {
  const name = profile === 'https_web' ? 'web.test' : 'spiffe.test'
  const pool = await poolOf(name)
  const past = textOf(pool, ALL, 1n)
  let text = past
  let failing = 0
  const server = profile === 'https_web' ? web.leaf : pool[0]!.endpoint
  const endpoint = await startEndpoint(t, server)
  endpoint.answer = (_request, response) => {
    // What was so when the question came, after a while.
    const answer = failing > 0 && failing % 2 === 0 ? past : text
    if (failing % 2 === 1) response.writeHead(503)
    failing = Math.max(0, failing - 1)
    setTimeout(() => response.end(answer), 10)
  }
  const source =
    profile === 'https_web'
      ? { ...(await webSource(t, endpoint)), trustDomain: name }
      : {
          trustDomain: name,
          endpoint: {
            url: endpoint.url,
            profile,
            spiffeId: pool[0]!.endpoint.id,
            bootstrapFile: await fileWith(t, text),
          },
          allowAddresses: LOOPBACK,
        }
  return {
    name,
    pool,
    source,
    kept: profile === 'https_spiffe' ? [0] : [],
    published: new Map([[1n, ALL]]),
    async put(_sequence, next, trouble) {
      if (trouble) {
        failing = 2
        await until(() => failing === 0)
      }
      text = next
    },
    inEffect: (bundles) => sequenceOf(bundles, name),
  }
}

async function byStream(): Promise<Changing> {
  const name = 'stream.test'
  const pool = await poolOf(name)
  let said = 1n
  let say: (bundle: StreamedBundle) => void = () => undefined
  const published = new Map([[1n, ALL]])
  const messageOf = ({ jwt, x509 }: Generation): StreamedBundle => ({
    jwt: Buffer.from(bundleText({ jwt: pool.filter((_, i) => jwt.has(i)).map(({ key }) => key) })),
    x509: pool
      .filter((_, i) => x509.has(i))
      .map(({ authority }) => Buffer.from(authority.certificateBase64, 'base64')),
  })
  return {
    name,
    pool,
    source: {
      trustDomain: name,
      stream: {
        start(onBundle) {
          say = onBundle
          say(messageOf(ALL))
          return { close: () => undefined }
        },
      },
    },
    kept: [],
    published,
    async put(sequence, _text, trouble) {
      if (trouble) say({ jwt: Buffer.from('{"keys":') })
      say(messageOf(published.get(sequence)!))
      said = sequence
    },
    inEffect: () => said,
  }
}

/** Any part of the pool, quite often nothing. */
function drawn(random: () => number, kept: readonly number[]): Generation {
  const some = () => (random() < 0.15 ? [] : [0, 1, 2, 3].filter(() => random() < 0.5))
  return { jwt: new Set(some()), x509: new Set([...kept, ...some()]) }
}

/** Repeatable; a linear congruential generator. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test('withdrawal and rotation under load: not one wrong answer', async (t) => {
  const domains = [
    await byFile(t),
    await byEndpoint(t, 'https_web'),
    await byEndpoint(t, 'https_spiffe'),
    await byStream(),
  ]
  const { bundles, believes } = await openFor(
    t,
    domains.map(({ source }) => source),
    { pollMs: 10, minRefreshMs: 20 },
  )
  // Of every domain, its neighbour's keys and authority under its own names.
  const forged = await Promise.all(
    domains.map(async ({ pool: [own] }, at): Promise<Domain> => {
      const { key, authority } = domains[(at + 1) % domains.length]!.pool[0]!
      const sub = own!.x509Svid.id
      const jwtSvid = svid(key, {
        payload: { sub, iat: nowSeconds() - 10, exp: nowSeconds() + 3000 },
      })
      return { ...own!, jwtSvid, x509Svid: await leafOf(authority, sub) }
    }),
  )

  const seed = Date.now() % 2 ** 32
  t.diagnostic(`seed ${seed}`)
  const random = randomFrom(seed)
  async function change(domain: Changing): Promise<void> {
    for (let sequence = 2n; sequence <= GENERATIONS; sequence += 1n) {
      const generation = drawn(random, domain.kept)
      domain.published.set(sequence, generation)
      await domain.put(sequence, textOf(domain.pool, generation, sequence), random() < 0.3)
      if (random() < 0.3) {
        await bundles.reload()
        // From here on nothing older may be believed.
        assert.equal(domain.inEffect(bundles), sequence)
      }
      await sleep(70 + 60 * random())
    }
  }
  const started = performance.now()
  let changing = true
  const changes = Promise.all(domains.map(change)).finally(() => {
    changing = false
  })

  let proofs = 0
  const seen = new Set<string>()
  while (changing || proofs < PROOFS) {
    for (const [at, domain] of domains.entries()) {
      const sequence = domain.inEffect(bundles)
      const { jwt, x509 } = domain.published.get(sequence)!
      seen.add(`${domain.name} ${sequence}`)
      for (const [i, member] of domain.pool.entries()) {
        const expected = { jwt: jwt.has(i), x509: x509.has(i) }
        assert.deepEqual(believes(member), expected, `${domain.name} ${i} in bundle ${sequence}`)
      }
      assert.deepEqual(believes(forged[at]!), NEITHER)
      proofs += 2 * (POOL + 1)
    }
    await sleep(10)
  }
  await changes
  for (const domain of domains) await until(() => domain.inEffect(bundles) === BigInt(GENERATIONS))
  const seconds = (performance.now() - started) / 1000
  t.diagnostic(
    `${proofs} proofs, ${Math.round(proofs / seconds)} a second; ` +
      `${seen.size} of ${domains.length * GENERATIONS} bundles were asked about`,
  )
  // A load that met few of the bundles would have shown nothing.
  assert.ok(seen.size > (domains.length * GENERATIONS) / 2)
})
