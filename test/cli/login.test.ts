// `writ login` and what it is good for, at a real `writ serve`, with a passkey in software.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { whileLoginsLocked } from '../../src/cli/login-file.ts'
import { SoftwarePasskey } from '../sign-in/authenticator.ts'
import { approve } from '../sign-in/command-line.ts'
import { enrol, type Site as SignInSite } from '../sign-in/site.ts'
import { serve, until } from './serving.ts'
import { freePort, makeSite } from './site.ts'
import { collect, type Ended, start, temporaryDirectory, writ } from './writ.ts'

const hooks: (() => unknown)[] = []
const t = { after: (hook: () => unknown) => void hooks.push(hook) }
let cwd: string
/** Where no configuration is: somebody's own machine. */
let elsewhere: string
let url: string
let passkey: SoftwarePasskey
let saved: string

before(async () => {
  cwd = await temporaryDirectory(t as never)
  elsewhere = await temporaryDirectory(t as never)
  const port = await freePort()
  url = `http://localhost:${port}`
  await makeSite(cwd, { listen: { admin: `127.0.0.1:${port}` }, admin: { url } })
  const broker = await serve(t, cwd)
  const { firstLink } = JSON.parse(broker.output().stdout) as { firstLink: string }
  const site = { url, origin: url, rpId: 'localhost' } as SignInSite
  passkey = new SoftwarePasskey(site)
  const enrolled = await enrol(site, firstLink, passkey)
  assert.equal(enrolled.answer.status, 200, enrolled.answer.text)
  saved = join(elsewhere, 'config', 'writ', 'logins.json')
})
after(async () => {
  for (const hook of hooks.reverse()) await hook()
})

const around = () => ({ cwd: elsewhere, env: { XDG_CONFIG_HOME: join(elsewhere, 'config') } })
const run = (...args: string[]): Promise<Ended> => writ(args, around())
const readSaved = async () => JSON.parse(await readFile(saved, 'utf8'))

/** Runs `writ login`, and is the person as well. */
async function login(...args: string[]): Promise<Ended> {
  const child = start(['login', '--url', url, '--json', ...args], around())
  const closed = once(child, 'close')
  const output = collect(child)
  const code = () => /Code {4}(\S+)/.exec(output().stderr)?.[1]
  await until(() => code() !== undefined || child.exitCode !== null)
  const site = { url, origin: url, rpId: 'localhost' } as SignInSite
  const approved = await approve(site, String(code()), passkey)
  assert.equal(approved.status, 200, approved.text)
  const [exitCode] = (await closed) as [number | null]
  return { code: exitCode, ...output(), json: () => JSON.parse(output().stdout) }
}

test('who has not signed in is told how to', async () => {
  const ended = await run('status', '--url', url, '--json')
  assert.equal(ended.code, 1)
  const { error } = ended.json() as { error: { hint: string } }
  assert.equal(error.hint, `run writ login --url ${url}`)
})

test('a person signs in, and sees and stops from a machine without a configuration', async () => {
  const ended = await login()
  assert.equal(ended.code, 0, ended.stdout + ended.stderr)
  assert.match(ended.stderr, new RegExp(`Open {4}${url}/sign-in/device`))
  assert.equal((ended.json() as { url: string }).url, url)
  assert.equal((await stat(saved)).mode & 0o777, 0o600)
  assert.equal((await stat(join(saved, '..'))).mode & 0o777, 0o700)
  const { key, refreshToken, accessToken } = (await readSaved()).logins[0]
  for (const secret of [key.d, refreshToken, accessToken]) {
    assert.ok(secret.length >= 43 && !(ended.stdout + ended.stderr).includes(secret))
  }
  assert.equal((await run('status')).code, 0)
  // Wide, and so only because a passkey was touched a moment ago.
  const revoked = await run('revoke', 'agent:spiffe://corp.test/x/*', '--wait', '--json')
  assert.equal(revoked.code, 0, revoked.stdout)
  const { revocations, through } = revoked.json() as {
    revocations: { id: string; by: string; byName?: string }[]
    through: string
  }
  assert.equal(through, 'url')
  const { id = '', by = '', byName } = revocations[0] ?? {}
  assert.match(by, /^person:/)
  // People are told who it was by name.
  assert.ok(byName !== undefined && byName !== by)
  const listed = await run('revocations')
  assert.ok(listed.stdout.includes(byName) && !listed.stdout.includes('person:'), listed.stdout)
  const shown = await run('revocations', 'show', '--url', url, '--', id)
  assert.ok(shown.stdout.includes(`${byName} (${by})`), shown.stdout)
  assert.ok(shown.stdout.includes(`writ revocations undo --reason … --url ${url} `), shown.stdout)
})

test('of many commands at once that find the token over, one renews it for all', async () => {
  const before = await readSaved()
  before.logins[0].accessUntil = 0
  await writeFile(saved, JSON.stringify(before))
  const all = await Promise.all([1, 2, 3, 4].map(() => run('sessions', 'list')))
  assert.deepEqual(
    all.map(({ code, stderr }) => [code, stderr]),
    all.map(() => [0, '']),
  )
  const renewed = await readSaved()
  assert.notEqual(renewed.logins[0].refreshToken, before.logins[0].refreshToken)
  assert.equal((await run('status')).code, 0)
  assert.deepEqual(await readSaved(), renewed, 'a token that is good is used again')
})

test('a file that others can read, or somebody else made, is not used', async () => {
  await chmod(saved, 0o644)
  const ended = await run('status', '--json')
  await chmod(saved, 0o600)
  assert.equal(ended.code, 2)
  const { error } = ended.json() as { error: { message: string } }
  assert.match(error.message, /other users can read/)

  const linked = join(elsewhere, 'linked', 'writ')
  await mkdir(linked, { recursive: true, mode: 0o700 })
  await symlink(saved, join(linked, 'logins.json'))
  const env = { XDG_CONFIG_HOME: join(elsewhere, 'linked') }
  assert.equal((await writ(['status'], { cwd: elsewhere, env })).code, 2)

  await writeFile(join(elsewhere, 'broken.json'), '{')
  const broken = join(elsewhere, 'broken', 'writ')
  await mkdir(broken, { recursive: true, mode: 0o700 })
  await writeFile(join(broken, 'logins.json'), '{"version":2}', { mode: 0o600 })
  const other = { XDG_CONFIG_HOME: join(elsewhere, 'broken') }
  assert.equal((await writ(['status'], { cwd: elsewhere, env: other })).code, 2)
})

test('what was copied before signing out is worth nothing after it', async () => {
  const copy = join(elsewhere, 'copied')
  await copyFile(saved, copy)
  const ended = await run('logout', '--json')
  assert.deepEqual(ended.json(), { ok: true, url, endedAtBroker: true })
  assert.equal((await run('status', '--url', url)).code, 1)
  await copyFile(copy, saved)
  await chmod(saved, 0o600)
  const stolen = await run('status', '--url', url, '--json')
  assert.equal(stolen.code, 1, stolen.stdout)
  const { error } = stolen.json() as { error: { message: string } }
  assert.match(error.message, /your sign-in is over/)
})

test('who signed in to read may not stop anything', async () => {
  const ended = await login('--read-only')
  assert.equal(ended.code, 0, ended.stdout + ended.stderr)
  assert.equal((await run('sessions', 'list')).code, 0)
  const refused = await run('revoke', 'jti:a', '--json')
  assert.equal(refused.code, 1)
  assert.match(JSON.stringify(refused.json()), /needs the role admin/)
})

test('while one holds the lock no other has it, and nobody holds it after an end', async () => {
  const directory = join(await temporaryDirectory(t as never), 'locks')
  let inside = 0
  let most = 0
  const held = () =>
    whileLoginsLocked(directory, async () => {
      inside += 1
      most = Math.max(most, inside)
      await new Promise((resolve) => setTimeout(resolve, 5))
      inside -= 1
    })
  await Promise.all(Array.from({ length: 8 }, held))
  assert.equal(most, 1)
  await assert.rejects(
    whileLoginsLocked(directory, () => Promise.reject(new Error('x'))),
    /^Error: x$/,
  )
  await held()
})

test('an address that is none, or not safe, is refused before anything is sent', async () => {
  for (const bad of ['http://writ.example', 'https://writ.example/console', 'writ', 'ftp://x']) {
    assert.equal((await run('login', '--url', bad)).code, 2, bad)
  }
})
