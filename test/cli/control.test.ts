import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chown, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { callControl, controlPath, openControl } from '../../src/cli/control.ts'
import { temporaryDirectory } from './writ.ts'

const echo = { echo: async (body: object) => ({ ...body, heard: true }) }

test('only the owner may open the socket, and it is gone when the broker is', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  const control = await openControl(path, echo)
  t.after(() => control.close())
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.deepEqual(await callControl(path, 'echo', { a: 1 }), { a: 1, heard: true })
  await control.close()
  assert.equal(existsSync(path), false)
  assert.equal(await callControl(path, 'echo', {}), undefined)
})

test('a second broker leaves the first one’s socket alone', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  const first = await openControl(path, echo)
  t.after(() => first.close())
  const second = await openControl(path, {})
  t.after(() => second.close())
  assert.equal(second.path, undefined)
  await second.close()
  assert.deepEqual(await callControl(path, 'echo', {}), { heard: true })
  await first.close()
})

test('a socket of another user than its directory is not believed', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root, to give a file to another user')
  const directory = await temporaryDirectory(t)
  const path = controlPath(directory)
  const control = await openControl(path, echo)
  t.after(() => control.close())
  await chown(path, 4711, 4711)
  await assert.rejects(callControl(path, 'echo', {}), /belongs to another user/)
})

test('the socket of a broker that was killed is taken over', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`
  const killed = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(killed.stdout, 'data')
  killed.kill('SIGKILL')
  await once(killed, 'exit')
  assert.equal(existsSync(path), true)
  const control = await openControl(path, echo)
  t.after(() => control.close())
  assert.equal(control.path, path)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  await control.close()
})

test('a file in its way is never removed', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  await writeFile(path, 'mine')
  await assert.rejects(openControl(path, echo), /no socket/)
  assert.equal(existsSync(path), true)
})

test('an action that fails tells its caller, an unknown one too', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  const broken = { broken: () => Promise.reject(new Error('the store is down')) }
  const control = await openControl(path, broken)
  t.after(() => control.close())
  await assert.rejects(callControl(path, 'broken', {}), /the store is down/)
  await assert.rejects(callControl(path, 'toString', {}), /no such action/)
  await control.close()
})

test('another method, a body that is too large or no object: nothing is done', async (t) => {
  const path = controlPath(await temporaryDirectory(t))
  let ran = 0
  const control = await openControl(path, {
    count: async () => {
      ran += 1
      return {}
    },
  })
  t.after(() => control.close())
  for (const [body, status, method = 'POST'] of [
    ['x'.repeat(17 * 1024), 413],
    ['', 404, 'PUT'],
    ['[]', 400],
    ['{"a":1,"a":2}', 500],
  ] as const) {
    const call = request({ socketPath: path, path: '/count', method })
    call.on('error', () => {})
    call.end(body)
    const [response] = await once(call, 'response')
    assert.equal(response.statusCode, status)
    response.resume()
  }
  assert.equal(ran, 0)
  await control.close()
})

test('a path that is too long for a socket is done without', async (t) => {
  const path = join(await temporaryDirectory(t), 'x'.repeat(120))
  const control = await openControl(path, echo)
  t.after(() => control.close())
  assert.equal(control.path, undefined)
  assert.equal(await callControl(path, 'echo', {}), undefined)
})
