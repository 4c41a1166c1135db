import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync } from 'node:fs'
import { chown, lstat, mkdir, stat, symlink, unlink, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createSocketServer, Server } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { controlPath, findControl, knock, openControl } from '../../src/cli/control.ts'
import { send } from '../../src/cli/http.ts'
import { temporaryDirectory } from './writ.ts'

const hello: RequestListener = (_, response) => response.end('hello')

async function open(t: TestContext, path: string, routes = hello) {
  const control = await openControl(path, routes)
  t.after(() => control.close())
  return control
}

/** What is said there, by the way that commands go. */
async function ask(path: string): Promise<string> {
  const socket = await findControl(path)
  assert.ok(socket !== undefined, 'there is no socket')
  return (await send({ url: 'http://localhost/', socket, method: 'GET' })).text()
}

/** Sockets that a process left behind when it was killed. */
async function leaveBehind(...paths: string[]): Promise<void> {
  const script = `let left = ${paths.length}
    for (const path of ${JSON.stringify(paths)})
      require('net').createServer().listen(path, () => --left || console.log('up'))`
  const killed = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(killed.stdout, 'data')
  killed.kill('SIGKILL')
  await once(killed, 'exit')
  for (const path of paths) assert.equal(existsSync(path), true)
}

/** Opens one after the other of the paths that it is told, and says what came of it. */
const RIVAL = `
import { createInterface } from 'node:readline'
import { openControl } from ${JSON.stringify(new URL('../../src/cli/control.ts', import.meta.url).href)}
for await (const path of createInterface({ input: process.stdin })) {
  const { path: has, problem } = await openControl(path, (_, response) => response.end(String(process.pid)))
  console.log(JSON.stringify({ has: has ?? null, problem }))
}`

function startRival(t: TestContext) {
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', RIVAL]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    pid: String(child.pid),
    async open(path: string): Promise<{ has: string | null; problem?: string }> {
      child.stdin.write(`${path}\n`)
      const { value } = await lines.next()
      return JSON.parse(String(value))
    },
  }
}

test('of brokers that start at once, one has the socket and the others say who has it, in 20 tries', async (t) => {
  const directory = await temporaryDirectory(t)
  const rivals = Array.from({ length: 4 }, () => startRival(t))
  // Half of the tries find what a killed broker left.
  const paths = Array.from({ length: 20 }, (_, n) => join(directory, `${n}.sock`))
  await leaveBehind(...paths.filter((_, n) => n % 2 === 0))
  // Once all are up, they start at once.
  await Promise.all(rivals.map((rival, n) => rival.open(join(directory, `own-${n}.sock`))))
  for (const path of paths) {
    const ends = await Promise.all(rivals.map((rival) => rival.open(path)))
    const winners = rivals.filter((_, n) => ends[n]?.has === path)
    assert.equal(winners.length, 1, `${path}: ${JSON.stringify(ends)}`)
    assert.equal(await ask(path), winners[0]?.pid)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    for (const { has, problem } of ends) {
      if (has === null)
        assert.match(String(problem), /^no control socket: another broker has .*sock/)
    }
  }
})

test('only the owner may open the socket, and it is gone when the broker is', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  const control = await open(t, path)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.equal(await ask(path), 'hello')
  await control.close()
  assert.equal(existsSync(path), false)
  assert.equal(await findControl(path), undefined)
})

test('the socket never exists with a wider mode, and the mask of the process is as before', async (t) => {
  const before = process.umask(0)
  t.after(() => process.umask(before))
  const path = controlPath(await temporaryDirectory(t))
  const modes: number[] = []
  const { listen } = Server.prototype
  t.mock.method(Server.prototype, 'listen', function (this: Server, ...args: unknown[]) {
    const server = Reflect.apply(listen, this, args)
    // It was made inside the call, before anything that comes later.
    modes.push(lstatSync(path).mode & 0o777)
    return server
  })
  await open(t, path)
  assert.deepEqual(modes, [0o600])
  assert.equal(process.umask(), 0)
})

test('a second broker leaves the first one’s socket alone', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  await open(t, path)
  const second = await open(t, path, (_, response) => response.end('second'))
  assert.equal(second.path, undefined)
  assert.match(String(second.problem), /another broker has/)
  await second.close()
  assert.equal(await ask(path), 'hello')
})

const ALIVE: readonly (readonly [string, RequestListener | undefined])[] = [
  ['says that there is no such thing', (_, response) => response.writeHead(404).end()],
  ['fails', (_, response) => response.writeHead(500).end()],
  ['hangs up', ({ socket }) => socket.destroy()],
  ['says nothing', () => {}],
  ['speaks no HTTP', undefined],
]

for (const [what, routes] of ALIVE) {
  test(`somebody who ${what} is there all the same, and keeps the socket`, async (t) => {
    const path = controlPath(await temporaryDirectory(t))
    const first = routes
      ? createServer(routes)
      : createSocketServer((it) => it.on('error', () => {}).end('what?'))
    await once(first.listen(path), 'listening')
    t.after(() => first.close())
    const { ino } = await lstat(path)
    assert.equal((await open(t, path)).path, undefined)
    assert.equal((await lstat(path)).ino, ino)
  })
}

test('a socket of another user than its directory is not believed, and not taken over', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root, to give a file to another user')
  const path = controlPath(await temporaryDirectory(t))
  const control = await open(t, path)
  await chown(path, 4711, 4711)
  await assert.rejects(ask(path), /belongs to another user/)
  assert.equal((await open(t, path)).path, undefined)
  await control.close()
  await leaveBehind(path)
  await chown(path, 4711, 4711)
  assert.equal((await open(t, path)).path, undefined)
  assert.equal((await lstat(path)).uid, 4711)
})

test('the socket of a broker that was killed is taken over', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  await leaveBehind(path)
  assert.equal(await knock(path), false)
  const control = await open(t, path)
  assert.equal(control.path, path)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.equal(await ask(path), 'hello')
})

test('a file or a link in its way is never removed', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  await writeFile(path, 'mine')
  await assert.rejects(openControl(path, hello), /no socket/)
  assert.equal(existsSync(path), true)
  await unlink(path)
  const other = `${path}.other`
  await leaveBehind(other)
  await symlink(other, path)
  await assert.rejects(openControl(path, hello), /no socket/)
  assert.equal((await lstat(path)).isSymbolicLink() && existsSync(other), true)
})

test('who may not have the lock goes without the socket', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  await mkdir(`${path}.lock`)
  const control = await open(t, path)
  assert.equal(control.path, undefined)
  assert.match(String(control.problem), /cannot lock .*control\.sock\.lock/)
})

test('a path that is too long for a socket is done without', async (t) => {
  const path = join(await temporaryDirectory(t), 'x'.repeat(120))
  const control = await open(t, path)
  assert.equal(control.path, undefined)
  assert.equal(await findControl(path), undefined)
})

test('a long path is used where it is short from here', async (t) => {
  const here = process.cwd()
  const directory = join(await temporaryDirectory(t), 'x'.repeat(90))
  await mkdir(directory)
  process.chdir(directory)
  t.after(() => process.chdir(here))
  const path = controlPath(directory)
  assert.equal((await open(t, path)).path, path)
  assert.equal(await findControl(path), 'control.sock')
  assert.equal(await ask(path), 'hello')
})
