/** Whoever takes the comment signs away from a part of config/writ.yaml gets a part that loads. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Config, loadConfig } from '../../src/config/config.ts'

const directory = await mkdtemp(join(tmpdir(), 'writ-examples-'))
after(() => rm(directory, { recursive: true }))
const jwks = join(directory, 'client.json')
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
await writeFile(jwks, JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }))

const lines = (await readFile(new URL('../../config/writ.yaml', import.meta.url), 'utf8')).split(
  '\n',
)
const COMMENTED = /^( *)# ( *)(?:- )?[a-z][a-z_]*:(?: |$)/
const touched = new Set<number>()

interface Example {
  readonly title: string
  /** How the first commented line of each part begins, without the comment sign. */
  readonly parts: readonly string[]
  /** Lines of these parts that cannot be together with the others. */
  readonly without?: RegExp
  /** Lines that they take the place of. */
  readonly instead?: RegExp
  readonly has: (config: Config) => unknown
}

const ENTRIES: readonly (readonly [string, (config: Config) => unknown])[] = [
  ['- spiffe: corp.example', ({ trust }) => trust.bundles[1]?.kind === 'workload_api'],
  [
    '- spiffe: partner.example',
    ({ trust }) => 'spiffe' in trust.bundles[1]! && trust.bundles[1].spiffe,
  ],
  ['- spiffe: other.example', ({ trust }) => trust.bundles[1]?.kind === 'endpoint'],
  ['- kubernetes: prod', ({ trust }) => trust.issuers[0]?.tokenReview],
  ['- github: ci', ({ trust }) => trust.issuers[0]?.kind === 'github'],
  ['- github: enterprise', ({ trust }) => trust.issuers[0]?.issuer.endsWith('/acme')],
  ['- oidc: build', ({ trust }) => trust.issuers[0]?.attributes?.team === '/team'],
  ['- users: staff', ({ trust }) => trust.users[0]?.audiences.length === 2],
]
const redis = (kind: string, others: RegExp): Example => ({
  title: `Redis, ${kind}`,
  parts: ['redis:'],
  without: others,
  instead: /^ {2}sqlite:/,
  has: ({ store }) => store.kind === 'redis' && store[kind as 'url'],
})
const EXAMPLES: readonly Example[] = [
  ...ENTRIES.map(([part, has]) => ({ title: part.slice(2), parts: [part], has })),
  {
    title: 'all kinds of trust at once',
    parts: ENTRIES.map(([part]) => part),
    has: ({ trust }) => trust.bundles.length === 4 && trust.issuers.length === 4,
  },
  redis('url', /sentinel|cluster/),
  redis('sentinel', /url|cluster/),
  redis('cluster', /url|sentinel/),
  { title: 'nonces', parts: ['nonce_secret_file:'], has: ({ dpop }) => dpop.nonceSecretFile },
  {
    title: 'the mTLS listener on files',
    parts: ['mtls: 127', 'mtls:\n'],
    has: ({ mtls }) => mtls?.credentials.kind === 'files',
  },
  {
    title: 'the mTLS listener on the broker’s own SVID',
    parts: ['mtls: 127', 'mtls: {'],
    has: ({ mtls }) => mtls?.credentials.kind === 'workload_api',
  },
  {
    title: 'proxies',
    parts: ['proxies:'],
    instead: /^proxies:/,
    has: ({ proxies }) => proxies.length === 2,
  },
  {
    title: 'clients',
    parts: ['clients:'],
    instead: /^clients:/,
    has: ({ clients }) => clients[2]?.workload,
  },
  {
    title: 'the address of the console',
    parts: ['url: https://writ.example'],
    has: ({ admin }) => admin.url === 'https://writ.example',
  },
]

/** The numbers of the commented lines that belong to a part: its first, and what is indented beneath it. */
function linesOf(part: string): number[] {
  const first = lines.findIndex(
    (line) => `${line.replace(/^ *# /, '')}\n`.startsWith(part) && /^ *# /.test(line),
  )
  assert.notEqual(first, -1, `config/writ.yaml has no commented ${part}`)
  const depthOf = (line: string) => /^( *# +)\S/.exec(line)?.[1]?.length ?? 0
  const found = [first]
  for (let next = first + 1; depthOf(lines[next] ?? '') > depthOf(lines[first] ?? ''); next += 1) {
    found.push(next)
  }
  return found
}

for (const { title, parts, without, instead, has } of EXAMPLES) {
  test(`without its comment signs, the example loads: ${title}`, async () => {
    const chosen = new Set(parts.flatMap(linesOf))
    for (const number of chosen) touched.add(number)
    const text = lines
      .map((line, number) => {
        if (!chosen.has(number)) return instead?.test(line) ? '' : line
        return without?.test(line) ? '' : line.replace('# ', '')
      })
      .join('\n')
      .replaceAll(/keys\/clients\/[a-z-]+\.json/g, jwks)
    const file = join(directory, 'writ.yaml')
    await writeFile(file, text)
    const config = await loadConfig({ file, env: {} })
    assert.ok(has(config), JSON.stringify(config))
  })
}

test('no commented setting is left out of these examples', () => {
  const settings = lines.flatMap((line, number) => (COMMENTED.test(line) ? [number] : []))
  assert.ok(settings.length > 40)
  assert.deepEqual(
    settings.filter((number) => !touched.has(number)).map((number) => lines[number]),
    [],
  )
})
