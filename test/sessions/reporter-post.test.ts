// One report is sent to the broker and to nobody else, and no answer to it holds or fills a verifier.
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { after, before, test } from 'node:test'
import { type Posted, postReport } from '../../src/verifier/reporter-post.ts'
import { type Running, readBody, serve } from '../agent/servers.ts'

let server: Running
let arrived = Promise.withResolvers<void>()
const asked: string[] = []

const answers: Record<string, (response: ServerResponse) => void> = {
  '/good': (response) => response.end('{"sequence":7}'),
  '/moved': (response) => response.writeHead(307, { location: '/good' }).end(),
  '/silent': () => arrived.resolve(),
  '/endless': (response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(' '.repeat(65_536)));
    }
    response.on('drain', more)
    more()
  },
}

before(async () => {
  server = await serve(async (request, response) => {
    await readBody(request)
    asked.push(request.url ?? '')
    answers[request.url ?? '']?.(response)
  })
})
after(() => server.close())

const post = (path: string, signal = new AbortController().signal): Promise<Posted> =>
  postReport(new URL(path, server.origin), 'a.b.c', { sequence: 7, signal })

test('a report that is acknowledged is sent once', async () => {
  assert.deepEqual(await post('/good'), { ok: true })
  assert.deepEqual(asked.splice(0), ['/good'])
})

test('a redirect carries no report away', async () => {
  assert.equal((await post('/moved')).ok, false)
  assert.deepEqual(asked.splice(0), ['/moved'])
})

test('an answer without end is not read to its end', async () => {
  assert.deepEqual(await post('/endless'), {
    ok: false,
    refused: false,
    why: 'the broker answers 200 to reports',
  })
})

test('a broker that does not answer is given up, at once when the verifier stops', async () => {
  const stop = new AbortController()
  const stopped = post('/silent', stop.signal)
  await arrived.promise
  stop.abort(new Error('the verifier stops'))
  const why = 'the broker cannot be told: the verifier stops'
  assert.deepEqual(await stopped, { ok: false, refused: false, why })
  arrived = Promise.withResolvers()
  const late = await post('/silent')
  assert.ok(!late.ok && /timeout/i.test(late.why), JSON.stringify(late))
})
