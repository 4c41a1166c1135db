import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import Koa from 'koa'
import { consoleFiles } from '../../src/admin/console-files.ts'

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** The console's files as they are built, on loopback, before something that answers `next`. */
async function serve(t: TestContext, built = true) {
  const directory = await mkdtemp(join(tmpdir(), 'writ-console-files-'))
  t.after(() => rm(directory, { recursive: true }))
  await writeFile(join(directory, 'secret.txt'), 'not to be seen')
  if (built) {
    await mkdir(join(directory, 'console', 'assets'), { recursive: true })
    await writeFile(join(directory, 'console', 'index.html'), '<!doctype html>the console')
    await writeFile(join(directory, 'console', 'mark.svg'), '<svg/>')
    await writeFile(join(directory, 'console', 'assets', 'index-1a2b.js'), 'go()')
  }
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const url = `http://localhost:${port}`
  const koa = new Koa()
  koa.use(consoleFiles({ url, directory: join(directory, 'console') }))
  koa.use((ctx) => {
    ctx.body = 'next'
  })
  server.on('request', koa.callback())
  t.after(() => server.close())
  const ask = (path: string, method = 'GET', host = `localhost:${port}`) =>
    new Promise<Answer>((resolve, reject) => {
      const options = { host: '127.0.0.1', port, path, method, headers: { host }, agent: false }
      request(options, (response) => {
        let text = ''
        response.on('data', (chunk) => {
          text += chunk
        })
        const { statusCode: status = 0, headers } = response
        response.on('end', () => resolve({ status, headers, text }))
      })
        .on('error', reject)
        .end()
    })
  return { ask, url, port }
}

test('every address of a page answers with the page, and nothing else does', async (t) => {
  const { ask } = await serve(t)
  for (const path of [
    ...[
      '/',
      '/sessions',
      '/sessions/abc',
      '/sessions/a%2Fb',
      '/revocations/x',
      '/catalogue/server',
    ],
    ...['/audit', '/policies', '/simulator?name=x', '/identities', '/keys', '/health', '/people'],
  ]) {
    assert.equal((await ask(path)).text, '<!doctype html>the console', path)
  }
  for (const path of [
    ...[
      '/v1/sessions',
      '/sign-in',
      '/oauth/token',
      '/metrics',
      '/healthz',
      '/readyz',
      '/index.html',
    ],
    ...['/sessions/a/b', '/nowhere', '/assets/', '/assets/index-other.js', '/secret.txt'],
    ...['/../secret.txt', '/assets/../../secret.txt', '/%2e%2e/secret.txt', '//secret.txt'],
  ]) {
    assert.equal((await ask(path)).text, 'next', path)
  }
  assert.equal((await ask('/sessions', 'POST')).text, 'next')
})

test('files with a hash in their name are kept for ever, the page never', async (t) => {
  const { ask } = await serve(t)
  const script = await ask('/assets/index-1a2b.js')
  assert.equal(script.headers['cache-control'], 'public, max-age=31536000, immutable')
  assert.equal(script.headers['content-type'], 'text/javascript; charset=utf-8')
  assert.equal((await ask('/mark.svg')).headers['cache-control'], 'no-cache')
  assert.equal((await ask('/sessions')).headers['cache-control'], 'no-store')
})

test('every answer keeps other pages, and script that is not a file of ours, out', async (t) => {
  const { ask } = await serve(t)
  for (const path of ['/', '/mark.svg', '/assets/index-1a2b.js']) {
    const { headers } = await ask(path)
    const policy = String(headers['content-security-policy']).split('; ')
    for (const part of [
      ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"],
      ...["base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'", "img-src 'self'"],
      ...["require-trusted-types-for 'script'", "trusted-types 'none'"],
    ]) {
      assert.ok(policy.includes(part), `${path}: ${part}`)
    }
    const { 'x-frame-options': frame, 'referrer-policy': referrer } = headers
    assert.deepEqual([frame, referrer], ['DENY', 'no-referrer'])
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin')
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin')
    assert.equal(headers['x-content-type-options'], 'nosniff')
  }
})

test('a foreign Host gets nothing; another name of this machine is led to the right one', async (t) => {
  const { ask, url, port } = await serve(t)
  const foreign = [`evil.example:${port}`, 'evil.example', `localhost.evil.example:${port}`]
  for (const host of [...foreign, 'localhost', 'localhost:1']) {
    for (const path of ['/', '/sessions', '/mark.svg', '/assets/index-1a2b.js']) {
      const { status, text } = await ask(path, 'GET', host)
      assert.deepEqual([status, text], [421, `the console is at ${url}\n`], `${host}${path}`)
    }
  }
  for (const name of ['127.0.0.1', '[::1]']) {
    const { status, headers } = await ask('/sessions?text=a', 'GET', `${name}:${port}`)
    assert.deepEqual([status, headers.location], [302, `${url}/sessions?text=a`])
  }
})

test('without the built files the pages name the command that builds them', async (t) => {
  const { ask } = await serve(t, false)
  const { status, text } = await ask('/sessions')
  assert.equal(status, 503)
  assert.match(text, /npm run build:console/)
  assert.equal((await ask('/v1/me')).text, 'next')
})
