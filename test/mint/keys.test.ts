import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import {
  chmod,
  mkdir,
  mkdtemp,
  open as openFile,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { removeKey, writeKey } from '../../src/mint/key-file.ts'
import {
  newKeys,
  openKeys,
  rotateKeys,
  type SigningAlgorithm,
  type SigningKeys,
} from '../../src/mint/keys.ts'
import { mintToken } from '../../src/mint/mint.ts'
import { createTokenVerifier } from '../../src/token/access-token.ts'
import type { TokenClaims } from '../../src/token/claims.ts'
import { thumbprintOf } from '../../src/token/jwk.ts'
import { parseJws, verifyJws } from '../../src/token/jws.ts'

const NOW = 1_795_000_000
const run = promisify(execFile)

function folderTest(name: string, body: (directory: string) => Promise<void>): void {
  test(name, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'writ-keys-'))
    try {
      await body(join(folder, 'signing'))
    } finally {
      await rm(folder, { recursive: true })
    }
  })
}

async function open(directory: string, now = NOW): Promise<SigningKeys> {
  const keys = await openKeys(directory, { now, reloadEveryMs: 60_000 })
  keys.close()
  return keys
}

const kidsOf = (keys: SigningKeys, now: number) => keys.jwks(now).keys.map(({ kid }) => kid)
const modeOf = async (path: string) => (await stat(path)).mode & 0o777

const CLAIMS: TokenClaims = {
  iss: 'https://broker.example',
  aud: 'https://mcp.example/mcp',
  sub: 'user:1',
  client_id: 'spiffe://corp.example/bot',
  jti: 'a-jti',
  iat: NOW,
  exp: NOW + 60,
  sid: 'a-session',
  scope: 'mcp:session',
  cnf: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' },
}

for (const algorithm of ['ES256', 'RS256', 'Ed25519'] satisfies SigningAlgorithm[]) {
  folderTest(
    `${algorithm}: the first key signs at once, and its tokens verify`,
    async (directory) => {
      const made = await newKeys(directory, algorithm, NOW)
      const keys = await open(directory)
      const token = mintToken(CLAIMS, keys.current(NOW))
      assert.deepEqual(parseJws(token).header, { typ: 'at+jwt', alg: algorithm, kid: made.kid })
      const verifier = createTokenVerifier({
        issuer: CLAIMS.iss,
        audience: CLAIMS.aud,
        keys: keys.verification(NOW),
      })
      assert.deepEqual((await verifier.verify(token, NOW)).claims, CLAIMS)
    },
  )
}

folderTest(
  'what is published is public: no private member, and what each key is for',
  async (directory) => {
    const { kid } = await newKeys(directory, 'ES256', NOW)
    const { keys } = (await open(directory)).jwks(NOW)
    assert.equal(keys.length, 1)
    const { x, y, ...rest } = keys[0]!
    assert.deepEqual(rest, { kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig', kid })
    assert.deepEqual([typeof x, typeof y], ['string', 'string'])
  },
)

folderTest('keys are for their owner alone, in files and in the directory', async (directory) => {
  await newKeys(directory, 'ES256', NOW)
  const [file, ...others] = await readdir(directory)
  assert.deepEqual(others, [], 'a draft was left behind')
  assert.equal(await modeOf(directory), 0o700)
  assert.equal(await modeOf(join(directory, file!)), 0o600)
  await chmod(join(directory, file!), 0o640)
  await assert.rejects(open(directory), /open to other users: chmod 600/)
  await chmod(join(directory, file!), 0o600)
  await chmod(directory, 0o750)
  await assert.rejects(open(directory), /open to other users: chmod 700/)
})

folderTest('without keys nothing opens, and the error says what to run', async (directory) => {
  const naming = (error: Error) =>
    error.message.includes(directory) && error.message.includes('writ keys new')
  await assert.rejects(open(directory), naming)
  await assert.rejects(rotateKeys(directory, NOW), naming)
  await newKeys(directory, 'ES256', NOW)
  for (const file of await readdir(directory)) await rm(join(directory, file))
  await assert.rejects(open(directory), naming)
  await assert.rejects(rotateKeys(directory, NOW), naming)
})

folderTest(
  'a key that only signs later does not open, because nothing could sign',
  async (directory) => {
    await newKeys(directory, 'ES256', NOW)
    await assert.rejects(open(directory, NOW - 10), /no key in .* signs yet/)
  },
)

folderTest('new never overwrites', async (directory) => {
  await newKeys(directory, 'ES256', NOW)
  const before = await readdir(directory)
  await assert.rejects(newKeys(directory, 'ES256', NOW + 1), /use writ keys rotate/)
  assert.deepEqual(await readdir(directory), before)
})

folderTest(
  'a key is published, then signs, then retires, and goes when its last token has expired',
  async (directory) => {
    const first = await newKeys(directory, 'ES256', NOW)
    const keys = await open(directory)
    const at = NOW + 86_400
    const second = await rotateKeys(directory, at, { publishSeconds: 300 })
    assert.equal(second.state, 'published')
    await keys.reload()

    const states = (now: number) => keys.states(now).map(({ state }) => state)
    const timeline = [
      [at, first.kid, ['signing', 'published'], 2],
      [at + 299, first.kid, ['signing', 'published'], 2],
      [at + 300, second.kid, ['retired', 'signing'], 2],
      [at + 300 + 3899, second.kid, ['retired', 'signing'], 2],
      [at + 300 + 3900, second.kid, ['gone', 'signing'], 1],
    ] as const
    for (const [now, signing, wanted, published] of timeline) {
      assert.equal(keys.current(now).kid, signing)
      assert.deepEqual(states(now), wanted)
      assert.equal(kidsOf(keys, now).length, published)
      assert.equal(keys.verification(now).find(first.kid, 'ES256') !== undefined, published === 2)
    }
    // The last token of the first key, at the end of the longest life a token may have.
    const last = parseJws(mintToken(CLAIMS, keys.current(at + 299.9)))
    const still = keys.verification(at + 299.9 + 300).find(first.kid, 'ES256')
    assert.equal(verifyJws(last, still!), true)
  },
)

folderTest(
  'a key file is deleted by the first rotation after its key has gone',
  async (directory) => {
    const first = await newKeys(directory, 'ES256', NOW)
    const second = await rotateKeys(directory, NOW + 1000, { publishSeconds: 10 })
    const third = await rotateKeys(directory, NOW + 1020, { publishSeconds: 10 })
    assert.equal((await readdir(directory)).length, 3, 'the first key may still be needed')
    await rotateKeys(directory, NOW + 5000)
    const left = (await readdir(directory)).join()
    assert.ok(!left.includes(first.kid) && !left.includes(second.kid) && left.includes(third.kid))
  },
)

folderTest('a rotation is not begun twice, but an emergency need not wait', async (directory) => {
  await newKeys(directory, 'ES256', NOW)
  const waiting = await rotateKeys(directory, NOW + 10, { publishSeconds: 300 })
  await assert.rejects(
    rotateKeys(directory, NOW + 20, { publishSeconds: 300 }),
    /already published/,
  )
  const urgent = await rotateKeys(directory, NOW + 20, { publishSeconds: 0 })
  const keys = await open(directory, NOW + 20)
  assert.equal(keys.current(NOW + 20).kid, urgent.kid)
  assert.equal(keys.current(NOW + 310).kid, waiting.kid)
  await assert.rejects(rotateKeys(directory, NOW, { publishSeconds: -1 }), TypeError)
})

folderTest('a rotation may change the algorithm, and keeps it otherwise', async (directory) => {
  await newKeys(directory, 'Ed25519', NOW)
  const same = await rotateKeys(directory, NOW + 10, { publishSeconds: 1 })
  const other = await rotateKeys(directory, NOW + 20, { publishSeconds: 1, algorithm: 'ES256' })
  assert.deepEqual([same.algorithm, other.algorithm], ['Ed25519', 'ES256'])
  assert.deepEqual(
    (await open(directory)).jwks(NOW + 30).keys.map(({ alg }) => alg),
    ['Ed25519', 'Ed25519', 'ES256'],
  )
})

folderTest(
  'an open directory notices new keys by itself, and the known ones stay the same objects',
  async (directory) => {
    await newKeys(directory, 'ES256', NOW)
    const keys = await openKeys(directory, { now: NOW, reloadEveryMs: 5 })
    try {
      const before = keys.current(NOW)
      await rotateKeys(directory, NOW)
      while (keys.jwks(NOW).keys.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
      assert.equal(keys.current(NOW), before)
    } finally {
      keys.close()
    }
  },
)

const DAMAGES: readonly (readonly [string, (text: string) => string])[] = [
  ['cut short', (text) => text.slice(0, 50)],
  ['empty', () => ''],
  ['no JSON', () => 'PRIVATE'],
  ['an unknown algorithm', (text) => text.replace('"ES256"', '"HS256"')],
  ['the algorithm of another key', (text) => text.replace('"ES256"', '"Ed25519"')],
  ['the name of another key', (text) => text.replace(/"kid":"./, '"kid":"?')],
  ['no time', (text) => text.replace('signsFrom', 'signs')],
  ['no time of being published', (text) => text.replace('publishedAt', 'published')],
  ['a broken key', (text) => text.replace('MIG', 'MIX')],
  ['too long', (text) => text + ' '.repeat(20_000)],
]

for (const [name, damage] of DAMAGES) {
  folderTest(
    `a damaged file opens nothing, names the file and not the key: ${name}`,
    async (directory) => {
      const { kid } = await newKeys(directory, 'ES256', NOW)
      const file = join(directory, `${kid}.key.json`)
      const good = await readFile(file, 'utf8')
      const keys = await openKeys(directory, { now: NOW, reloadEveryMs: 60_000 })
      try {
        await writeFile(file, damage(good))
        const clear = (error: Error) =>
          error.message.includes(file) && !`${error.stack}${error.cause}`.includes('MIG')
        await assert.rejects(open(directory), clear)
        await assert.rejects(keys.reload(), clear)
        assert.equal(keys.current(NOW).kid, kid, 'the key known before must go on serving')
      } finally {
        keys.close()
      }
    },
  )
}

folderTest(
  'a key that a rotation elsewhere removes while it is read is no key',
  async (directory) => {
    const { kid } = await newKeys(directory, 'ES256', NOW)
    // Listed, and gone when it is opened.
    await symlink(join(directory, 'gone'), join(directory, 'gone.key.json'))
    assert.deepEqual(kidsOf(await open(directory), NOW), [kid])
    await assert.doesNotReject(removeKey(directory, 'a-key-that-is-gone-already'))
    await mkdir(join(directory, 'folder.key.json'))
    await assert.rejects(removeKey(directory, 'folder'), 'what cannot be removed is said')
    await assert.rejects(open(directory))
    await assert.rejects(open(join(directory, `${kid}.key.json`)), /no signing keys in/)
  },
)

folderTest('RSA keys are made large, and small ones sign nothing', async (directory) => {
  await newKeys(directory, 'RS256', NOW)
  const [made] = (await open(directory)).jwks(NOW).keys
  assert.equal(Buffer.from(String(made?.n), 'base64url').length * 8, 3072)
  const { privateKey: key, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const kid = await thumbprintOf(publicKey.export({ format: 'jwk' }))
  await writeKey(directory, { kid, algorithm: 'RS256', key, publishedAt: NOW, signsFrom: NOW })
  await assert.rejects(open(directory), new RegExp(`${kid}\\.key\\.json is damaged`))
})

folderTest(
  'a key is on disk before it has its name, and the name before it counts',
  async (directory) => {
    await mkdir(directory, { mode: 0o700 })
    const probe = await openFile(directory)
    const files = Object.getPrototypeOf(probe) as { sync(): Promise<void> }
    await probe.close()
    const { sync } = files
    const seen: number[] = []
    files.sync = async function (this: typeof probe) {
      await sync.call(this)
      seen.push((await readdir(directory)).filter((name) => name.endsWith('.key.json')).length)
    }
    try {
      const { kid } = await newKeys(directory, 'ES256', NOW)
      assert.deepEqual(seen, [0, 1])
      await removeKey(directory, kid)
      assert.deepEqual(seen, [0, 1, 0])
    } finally {
      files.sync = sync
    }
  },
)

folderTest('a reload that fails is reported', async (directory) => {
  const { kid } = await newKeys(directory, 'ES256', NOW)
  const problems: Error[] = []
  const onProblem = (problem: Error) => problems.push(problem)
  const keys = await openKeys(directory, { now: NOW, reloadEveryMs: 5, onProblem })
  try {
    await writeFile(join(directory, `${kid}.key.json`), '')
    while (problems.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.match(problems[0]!.message, /is damaged/)
  } finally {
    keys.close()
  }
})

folderTest('of many processes that rotate at once none corrupts anything', async (directory) => {
  await newKeys(directory, 'ES256', NOW)
  const module = new URL('../../src/mint/keys.ts', import.meta.url).href
  const program = `import { rotateKeys } from ${JSON.stringify(module)}
    await rotateKeys(process.argv[1], ${NOW + 10}).catch((error) => {
      if (!/already published/.test(error.message)) throw error
    })`
  await Promise.all(
    Array.from({ length: 4 }, () =>
      run(process.execPath, ['--input-type=module', '-e', program, directory]),
    ),
  )
  const [here, there] = [await open(directory), await open(directory)]
  const later = NOW + 400
  assert.equal(here.current(later).kid, there.current(later).kid)
  assert.ok(kidsOf(here, later).length >= 2)
  for (const file of await readdir(directory)) assert.match(file, /^[\w-]{43}\.key\.json$/)
  const token = mintToken(CLAIMS, here.current(later))
  const found = there.verification(later).find(here.current(later).kid, 'ES256')
  assert.equal(verifyJws(parseJws(token), found!), true)
})
