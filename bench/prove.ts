// What proving an identity costs, new and remembered; the unit to compare with is one raw check.
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openBundles } from '../src/identity/bundles/bundles.ts'
import { createDevelopmentDomain, type DevelopmentDomain } from '../src/identity/development.ts'
import { openOidcIssuer } from '../src/identity/issuers/oidc.ts'
import { createJwtSvidProver } from '../src/identity/jwt-svid.ts'
import { createProver } from '../src/identity/prover.ts'
import { createX509SvidProver } from '../src/identity/x509/x509-svid.ts'
import { signJws } from '../src/token/jws.ts'
import { median, round } from './statistics.ts'

const PROOFS = 300
const ROUNDS = 7
const BROKER = 'https://broker.test'
const ISSUER = 'https://tokens.test'
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'

export interface ProveFigures {
  /** Microseconds of CPU for a proof never seen before. */
  readonly newUs: number
  /** The same for one that was verified a moment ago. */
  readonly rememberedUs: number
}

type Prove = (index: number) => unknown

/** Every kind of proof that nobody else has to be asked about. */
export async function measureProve(): Promise<Record<string, ProveFigures>> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-bench-'))
  const ends: (() => unknown)[] = []
  try {
    const domain = await createDevelopmentDomain({ directory, trustDomain: 'bench.test' })
    const kinds = {
      jwtSvid: await jwtSvids(domain, ends),
      x509Svid: await x509Svids(domain, ends),
      oidc: await oidcTokens(directory, ends),
    }
    return Object.fromEntries(
      Object.entries(kinds).map(([name, rounds]) => [name, figuresOf(rounds)]),
    )
  } finally {
    for (const end of ends) await end()
    await rm(directory, { recursive: true, force: true })
  }
}

/** @param rounds each with a prover of its own, which remembers nothing yet; the first warms up */
function figuresOf(rounds: readonly Prove[]): ProveFigures {
  const news: number[] = []
  const remembered: number[] = []
  for (const [index, prove] of rounds.entries()) {
    const first = cpuOf(prove)
    const again = cpuOf(prove)
    if (index === 0) continue
    news.push(first)
    remembered.push(again)
  }
  return { newUs: round(median(news), 1), rememberedUs: round(median(remembered), 1) }
}

function cpuOf(prove: Prove): number {
  const before = process.cpuUsage()
  for (let index = 0; index < PROOFS; index += 1) prove(index)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / PROOFS
}

async function jwtSvids(domain: DevelopmentDomain, ends: (() => unknown)[]): Promise<Prove[]> {
  const bundles = await openBundles([{ trustDomain: domain.trustDomain, file: domain.bundleFile }])
  ends.push(() => bundles.close())
  const now = Date.now() / 1000
  const svids: string[] = []
  for (let index = 0; index < PROOFS; index += 1) {
    const svid = { path: `/agents/${index}`, audience: BROKER, lifetimeSeconds: 600, now }
    svids.push(await domain.issueJwtSvid(svid))
  }
  return Array.from({ length: ROUNDS + 1 }, () => {
    const prover = createJwtSvidProver({ bundles, audience: BROKER })
    return (index) => prover.prove(svids[index]!, now)
  })
}

async function x509Svids(domain: DevelopmentDomain, ends: (() => unknown)[]): Promise<Prove[]> {
  const bundles = await openBundles([{ trustDomain: domain.trustDomain, file: domain.bundleFile }])
  ends.push(() => bundles.close())
  const chains: Uint8Array[][] = []
  for (let index = 0; index < PROOFS; index += 1) {
    const svid = await domain.issueX509Svid({ path: `/agents/${index}`, lifetimeSeconds: 600 })
    chains.push([new X509Certificate(svid.certificatePem).raw])
  }
  const now = Date.now() / 1000
  return Array.from({ length: ROUNDS + 1 }, () => {
    const prover = createX509SvidProver({ bundles })
    return (index) => prover.prove(chains[index]!, now)
  })
}

async function oidcTokens(directory: string, ends: (() => unknown)[]): Promise<Prove[]> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicJwk = { ...publicKey.export({ format: 'jwk' }), kid: 'bench', alg: 'ES256' }
  const jwksFile = join(directory, 'jwks.json')
  await writeFile(jwksFile, JSON.stringify({ keys: [publicJwk] }))
  const key = { kid: 'bench', algorithm: 'ES256', key: privateKey, publicJwk } as const
  const now = Math.floor(Date.now() / 1000)
  const tokens = Array.from({ length: PROOFS }, (_, index) => ({
    token: signJws(
      { typ: 'JWT' },
      { iss: ISSUER, sub: `job-${index}`, aud: BROKER, iat: now, exp: now + 600 },
      key as never,
    ),
    tokenType: JWT_TYPE,
  }))
  const bundles = await openBundles([])
  ends.push(() => bundles.close())
  const jwtSvid = createJwtSvidProver({ bundles, audience: BROKER })
  const rounds: Prove[] = []
  for (let count = 0; count <= ROUNDS; count += 1) {
    const issuer = await openOidcIssuer({
      alias: 'bench',
      issuer: ISSUER,
      keys: { jwksFile },
      audience: BROKER,
    })
    ends.push(() => issuer.close())
    const prover = createProver({ issuer: BROKER, jwtSvid, issuers: [issuer] })
    rounds.push((index) => prover.proveToken(tokens[index]!, now))
  }
  return rounds
}
