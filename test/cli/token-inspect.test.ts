import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { JsonObject } from '../../src/lib/json.ts'
import { signJws } from '../../src/token/jws.ts'
import { temporaryDirectory, writ } from './writ.ts'

const cwd = await temporaryDirectory({ after })
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const key = { kid: 'k1', algorithm: 'ES256', key: privateKey, publicJwk: {} } as const
const now = Math.floor(Date.now() / 1000)

const ACTION: JsonObject = {
  iss: 'https://broker.test',
  aud: 'https://mcp.test/mcp',
  sub: 'user:5f2c',
  client_id: 'spiffe://corp.test/agents/bot',
  jti: 'the-token-id',
  iat: now,
  exp: now + 60,
  sid: 'the-session',
  txn: 'invoice-4711',
  scope: 'mcp:action',
  authorization_details: [
    {
      type: 'mcp_action',
      locations: ['https://mcp.test/mcp'],
      actions: ['tools/call'],
      identifier: 'transfer_funds',
      arguments_hash: 'ARGUMENTS',
      definition_hash: 'DEFINITION',
      hash_alg: 'sha-256',
      max_uses: 1,
    },
  ],
  cnf: { jkt: 'THUMBPRINT' },
}
const token = signJws({ typ: 'at+jwt' }, ACTION, key)
const signature = token.slice(token.lastIndexOf('.') + 1)

test('it says what a token is good for, that it is not verified, and never shows it', async () => {
  const file = join(cwd, 'token.txt')
  await writeFile(file, `${token}\n`)
  const { code, stdout, stderr } = await writ(['token', 'inspect', file], { cwd })
  assert.equal(code, 0)
  assert.equal(stderr, '')
  assert.match(stdout, /NOT VERIFIED/)
  for (const part of [
    'https://mcp.test/mcp',
    'tools/call transfer_funds, arguments ARGUMENTS, definition DEFINITION; once',
    'spiffe://corp.test/agents/bot',
    'user:5f2c',
    'only with the DPoP key of thumbprint THUMBPRINT',
    'invoice-4711',
  ]) {
    assert.ok(stdout.includes(part), part)
  }
  assert.match(stdout, /expires +\S+Z \(in \d+ s\)/)
  for (const segment of token.split('.')) assert.ok(!stdout.includes(segment))
})

test('as one object, from standard input, without the signature', async () => {
  const ended = await writ(['token', 'inspect', '--json'], { cwd, input: token })
  assert.equal(ended.code, 0)
  const { ok, verified, kind, claims } = ended.json()
  assert.deepEqual(
    { ok, verified, kind, claims },
    { ok: true, verified: false, kind: 'action', claims: ACTION },
  )
  assert.ok(!ended.stdout.includes(signature))
})

test('a token that has expired says so', async () => {
  const expired = signJws({ typ: 'at+jwt' }, { ...ACTION, exp: now - 100 }, key)
  const { stdout } = await writ(['token', 'inspect', '-'], { cwd, input: expired })
  assert.match(stdout, /expires +\S+Z \(\d+ s ago\)/)
})

test('a token given as an argument is refused, and not repeated', async () => {
  for (const extra of [[], ['--json']]) {
    const { code, stdout, stderr } = await writ(['token', 'inspect', token, ...extra], { cwd })
    assert.equal(code, 2)
    assert.match(`${stdout}${stderr}`, /stays in the shell history/)
    for (const segment of token.split('.')) assert.ok(!`${stdout}${stderr}`.includes(segment))
  }
})

test('what is no token is a no', async () => {
  for (const input of ['', 'abc', 'a.b.c', `${token}.x`, '{"a":1}']) {
    const ended = await writ(['token', 'inspect', '--json'], { cwd, input })
    assert.equal(ended.code, 1, input)
    assert.equal(ended.json().ok, false)
  }
  assert.equal((await writ(['token', 'inspect', 'no-such-file'], { cwd })).code, 2)
})

test('claims cannot move the cursor or turn the text around', async () => {
  const evil = signJws({ typ: 'at+jwt' }, { ...ACTION, txn: 'a\u001b[2Jb\u202ec\nd' }, key)
  const { stdout } = await writ(['token', 'inspect'], { cwd, input: evil })
  assert.ok(stdout.includes('a\\u{1b}[2Jb\\u{202e}c\\u{a}d'))
  assert.ok(!stdout.includes('\u001b') && !stdout.includes('\u202e'))
})

const KINDS: readonly (readonly [string, JsonObject, JsonObject])[] = [
  ['session', { typ: 'at+jwt' }, { scope: 'mcp:session' }],
  ['proof', { typ: 'dpop+jwt' }, { htm: 'POST', htu: 'https://broker.test/token' }],
  ['svid', { typ: 'JWT' }, { sub: 'spiffe://corp.test/a' }],
  ['other', { typ: 'JWT' }, { sub: 'someone' }],
]
for (const [kind, header, claims] of KINDS) {
  test(`a JWT of kind ${kind} is told from the others`, async () => {
    const input = signJws(header, claims, key)
    const ended = await writ(['token', 'inspect', '--json'], { cwd, input })
    assert.equal(ended.json().kind, kind)
    assert.equal((await writ(['token', 'inspect'], { cwd, input })).code, 0)
  })
}
