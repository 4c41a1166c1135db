/** What each gate must do by itself, over real connections. The proxy in front is played by `Host`. */
import assert from 'node:assert/strict'
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { getRequestListener } from '@hono/node-server'
import { createMcpHonoApp } from '@modelcontextprotocol/hono'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import {
  createVerifier,
  expressGate,
  fastifyGate,
  fetchGate,
  honoGate,
  koaGate,
  nodeGate,
} from '../../src/verifier/index.ts'
import type { Outcome } from '../../src/verifier/request.ts'
import type { Verifier } from '../../src/verifier/verifier.ts'
import { GATES, type Served } from '../matrix/servers.ts'
import { until } from '../support/redis.ts'
import { callMessage, claimsFor, mint, options, RESOURCE, request } from './rig.ts'

const MAX_BODY_BYTES = 8192

const rig = await options({
  maxBodyBytes: MAX_BODY_BYTES,
  dpop: { nonceSecret: Buffer.alloc(32, 1) },
})
const verifier = createVerifier(rig.options)
await verifier.ready()
const demand = await verifier.check(request({ token: mint(claimsFor({})), message: callMessage() }))
const nonce = demand.headers.find(([name]) => name === 'dpop-nonce')?.[1] ?? ''
after(async () => {
  await verifier.close()
  await rig.publisher.close()
})

/** The streams that are still watched: those that were let in and have not been let go of. */
const streams = new Set<Outcome>()
const watching: Verifier = {
  ...verifier,
  async check(request) {
    const outcome = await verifier.check(request)
    if (!outcome.allowed || outcome.closing === undefined) return outcome
    const ended = () => {
      streams.delete(watched)
      outcome.ended()
    }
    const watched = { ...outcome, ended }
    streams.add(watched)
    return watched
  },
}

/** The body a handler was given, last first. */
const seen: unknown[] = []

/** A handler that echoes, gives out session ids, and streams on GET for as long as it can. */
const mcp: Served = {
  ran: [],
  async node(req, res, body) {
    seen.unshift(body)
    if (req.method === 'GET') {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      const timer = setInterval(() => res.write(': on\n\n'), 20)
      // Goes on writing for a while after the gate has ended the response, as servers do.
      res.on('close', () => setTimeout(() => clearInterval(timer), 100))
      return
    }
    const { method } = body as { method: string }
    const session =
      method === 'initialize' ? { 'Mcp-Session-Id': `for-${req.headers['x-name']}` } : {}
    res.writeHead(200, { 'content-type': 'application/json', ...session })
    res.end(
      JSON.stringify({ method, caller: (req as { auth?: { clientId: string } }).auth?.clientId }),
    )
  },
  async fetch(request, { authInfo, parsedBody }) {
    seen.unshift(parsedBody)
    if (request.method === 'GET') {
      let timer: NodeJS.Timeout
      const stream = new ReadableStream({
        start(controller) {
          timer = setInterval(() => controller.enqueue(Buffer.from(': on\n\n')), 20)
        },
        cancel: () => clearInterval(timer),
      })
      return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
    }
    const { method } = parsedBody as { method: string }
    const headers = new Headers({ 'content-type': 'application/json' })
    if (method === 'initialize') {
      headers.set('mcp-session-id', `for-${request.headers.get('x-name')}`)
    }
    return new Response(JSON.stringify({ method, caller: authInfo.clientId }), { headers })
  },
}

interface Answer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly raw: readonly string[]
  readonly body: string
}

type Send = (
  sent: Parameters<typeof request>[0],
  body?: string | AsyncIterable<string>,
) => Promise<Answer>

async function listen(listener: (req: IncomingMessage, res: ServerResponse) => void) {
  const http = createServer(listener)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo
  const open = (
    sent: Parameters<typeof request>[0],
    body?: string | AsyncIterable<string>,
    connected?: (socket: Duplex) => void,
  ) => {
    const { method, path, headers, body: own } = request({ nonce, ...sent })
    const names = [
      'host',
      'origin',
      'accept',
      'content-type',
      'authorization',
      'dpop',
      'mcp-session-id',
      'x-name',
    ]
    const flat = names.flatMap((name) => headers(name).flatMap((value) => [name, value]))
    return new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = httpRequest(
        { host: '127.0.0.1', port, path, method, headers: flat },
        resolve,
      )
      outgoing.on('error', reject)
      if (connected !== undefined) outgoing.on('socket', connected)
      if (body === undefined || typeof body === 'string') outgoing.end(body ?? own)
      else {
        ;(async () => {
          for await (const chunk of body) if (!outgoing.destroyed) outgoing.write(chunk)
          outgoing.end()
        })().catch((error) => outgoing.destroy(error))
      }
    })
  }
  const send: Send = async (sent, body) => {
    const response = await open(sent, body)
    return {
      status: response.statusCode ?? 0,
      headers: response.headersDistinct,
      raw: response.rawHeaders,
      body: await text(response),
    }
  }
  const close = () => {
    http.closeAllConnections()
    return new Promise((resolve) => http.close(resolve))
  }
  return { open, send, close }
}

const right = () => ({ token: mint(claimsFor({})), message: callMessage() })

for (const [name, mount] of Object.entries(GATES)) {
  describe(`${name} gate`, () => {
    let server: Awaited<ReturnType<typeof listen>>
    before(async () => {
      server = await listen(await mount(watching, mcp))
    })
    after(() => server.close())

    test('a right request runs, with the parsed message, its caller and the next nonce', async () => {
      const answer = await server.send(right())
      assert.equal(answer.status, 200, answer.body)
      assert.deepEqual(JSON.parse(answer.body), {
        method: 'tools/call',
        caller: claimsFor({}).client_id,
      })
      assert.deepEqual(seen[0], callMessage())
      assert.match(String(answer.headers['dpop-nonce']), /./)
    })

    test('a refusal carries both challenges as headers of their own, Bearer first', async () => {
      const answer = await server.send({ ...right(), headers: { authorization: undefined } })
      assert.equal(answer.status, 401)
      const challenges = answer.headers['www-authenticate']
      const list = Array.isArray(challenges) ? challenges : [challenges]
      assert.match(list.join(', '), /^Bearer resource_metadata=.*, DPoP algs=/)
      if (list.length > 1) assert.match(String(list[0]), /^Bearer /)
      assert.match(String(answer.headers['content-type']), /^application\/json/)
      assert.equal(JSON.parse(answer.body).error, 'invalid_token')
    })

    test('two Authorization headers, or two proofs, are refused however they arrive', async () => {
      const sent = right()
      const authorization = `DPoP ${sent.token}`
      const twice = await server.send({
        ...sent,
        headers: { authorization: [authorization, authorization] },
      })
      assert.equal(twice.status, 401)
      const proof = request({ ...sent, nonce }).headers('dpop')[0] ?? ''
      const proofs = await server.send({ ...sent, headers: { dpop: [proof, proof] } })
      assert.equal(proofs.status, 401)
      assert.equal((await server.send(sent)).status, 200)
    })

    test('another Host, and a page of another Origin, are refused', async () => {
      assert.equal(
        (await server.send({ ...right(), headers: { host: 'evil.example' } })).status,
        403,
      )
      const page = { ...right(), headers: { origin: 'https://evil.example' } }
      assert.equal((await server.send(page)).status, 403)
      const own = { ...right(), headers: { origin: 'https://mcp.example' } }
      assert.equal((await server.send(own)).status, 200)
    })

    test('no token opens another path of the same application', async () => {
      seen.length = 0
      const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
      const paths = ['/admin/wipe', '/', '/mcp/wipe', '/MCP', '//mcp', '/%6Dcp', '/mcp/']
      for (const path of paths) {
        const sent = { token: mint(claimsFor('session')), message: ping, path }
        const answer = await server.send(sent)
        assert.equal(answer.status, 404, path)
        assert.equal(answer.headers['www-authenticate'], undefined)
        if (name !== 'fastify') assert.equal(JSON.parse(answer.body).error, 'invalid_request')
      }
      assert.deepEqual(seen, [])
      assert.equal((await server.send({ ...right(), path: '/mcp?from=here' })).status, 200)
    })

    test('a body over the limit is refused before it has all arrived', async () => {
      const answer = await server.send(right(), 'x'.repeat(MAX_BODY_BYTES + 1))
      assert.equal(answer.status, 413)
      let chunks = 0
      async function* endless() {
        for (; chunks < 10_000; chunks++) {
          yield 'x'.repeat(1024)
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
      const streamed = await server
        .send({ ...right() }, endless())
        .catch((error: NodeJS.ErrnoException) => ({ status: error.code }))
      assert.ok(
        streamed.status === 413 || ['ECONNRESET', 'EPIPE'].includes(String(streamed.status)),
      )
      assert.ok(chunks < 10_000)
    })

    test('a client that breaks off in the middle of its body harms nobody', async () => {
      async function* half() {
        yield '{"jsonrpc":'
        await new Promise((resolve) => setTimeout(resolve, 30))
        throw new Error('gone')
      }
      await assert.rejects(server.send(right(), half()))
      await new Promise((resolve) => setTimeout(resolve, 30))
      assert.equal((await server.send(right())).status, 200)
    })

    test('a session id it saw given out is good for that session only', async () => {
      const ask = (method: string, sid: string, headers: Record<string, string>) =>
        server.send({
          token: mint(claimsFor('session', { sid: `${name}-${sid}` })),
          message: { jsonrpc: '2.0', id: 1, method },
          headers,
        })
      const id = `for-${name}`
      const initialized = await ask('initialize', 'a', { 'x-name': name })
      assert.equal(initialized.headers['mcp-session-id']?.[0], id)
      assert.equal((await ask('tools/list', 'a', { 'mcp-session-id': id })).status, 200)
      assert.equal((await ask('tools/list', 'b', { 'mcp-session-id': id })).status, 404)
    })

    test('a stream ends when its session is revoked, and the process goes on', async () => {
      const claims = claimsFor('session', { sid: `stream-${name}` })
      const response = await server.open({ token: mint(claims), method: 'GET' })
      assert.equal(response.statusCode, 200)
      const ended = new Promise((resolve) => response.on('close', resolve).resume())
      const target = { kind: 'session', value: claims.sid } as const
      await rig.publisher.revoke({ target, until: claims.exp, reason: 'test', by: 'test' })
      await ended
      await until(() => streams.size === 0)
      await new Promise((resolve) => setTimeout(resolve, 60))
      assert.equal((await server.send(right())).status, 200)
    })

    test('a client that goes away takes its stream with it', async () => {
      const response = await server.open({ token: mint(claimsFor('session')), method: 'GET' })
      assert.equal(streams.size, 1)
      response.destroy()
      await until(() => streams.size === 0)
      assert.equal((await server.send(right())).status, 200)
    })
  })
}

describe('a gate that is mounted beneath a path', () => {
  /** Each puts the gate where its framework hides the mount, with two routes behind it. */
  const mounts: Record<string, () => Promise<(req: IncomingMessage, res: ServerResponse) => void>> =
    {
      async express() {
        const app = express()
        const router = express.Router()
        router.use(expressGate(verifier))
        router.use((_req, res) => res.end('ran'))
        app.use(['/mcp', '/admin'], router)
        return app
      },
      async koa() {
        const app = new Koa()
        const gate = koaGate(verifier)
        app.use(async (ctx, next) => {
          ctx.path = ctx.path.replace(/^\/(mcp|admin)/, '') || '/'
          await gate(ctx, next)
        })
        app.use((ctx) => {
          ctx.body = 'ran'
        })
        return app.callback()
      },
      async fastify() {
        const app = Fastify()
        for (const prefix of ['/mcp', '/admin']) {
          await app.register(
            async (scope) => {
              scope.register(fastifyGate(verifier))
              scope.post('/*', async () => 'ran')
              scope.post('/', async () => 'ran')
            },
            { prefix },
          )
          // Both scopes would add the routes of the metadata.
          if (prefix === '/mcp') Object.assign(app, { get: () => app })
        }
        await app.ready()
        return (req, res) => app.routing(req, res)
      },
      async hono() {
        const app = new Hono()
        for (const prefix of ['/mcp', '/admin']) {
          const routes = new Hono()
          routes.use(honoGate(verifier))
          routes.all('*', (c) => c.text('ran'))
          app.route(prefix, routes)
        }
        return getRequestListener(app.fetch)
      },
    }
  for (const [name, mount] of Object.entries(mounts)) {
    test(`${name}: is asked about what the client sent`, async (t) => {
      const server = await listen(await mount())
      t.after(() => server.close())
      assert.equal((await server.send(right())).status, 200)
      for (const path of ['/admin', '/mcp/mcp', '/admin/mcp']) {
        assert.equal((await server.send({ ...right(), path })).status, 404, path)
      }
    })
  }
})

test('node: a stream whose client went away while it was checked is not watched', async (t) => {
  const gone = Promise.withResolvers<void>()
  const gate = nodeGate({
    ...watching,
    async check(request) {
      const outcome = await watching.check(request)
      assert.equal(streams.size, 1)
      client?.destroy()
      await gone.promise
      return outcome
    },
  })
  const finished = Promise.withResolvers<boolean>()
  const server = await listen((req, res) => {
    res.on('close', gone.resolve)
    gate(req, res).then(finished.resolve, finished.reject)
  })
  t.after(() => server.close())
  let client: Duplex | undefined
  const sent = server.open(
    { token: mint(claimsFor('session')), method: 'GET' },
    undefined,
    (own) => {
      client = own
    },
  )
  await assert.rejects(sent)
  assert.equal(await finished.promise, true)
  assert.equal(streams.size, 0)
})

test('fetch: a stream that breaks off is let go of, and its revocation ends no process', async () => {
  const claims = claimsFor('session', { sid: 'breaks-off' })
  let broken = false
  const gated = fetchGate(verifier, () => {
    const body = new ReadableStream({
      pull(controller) {
        if (broken) controller.error(new Error('terminated'))
        else controller.enqueue(Buffer.from(': on\n\n'))
        broken = true
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  })
  const { method, headers } = request({ nonce, token: mint(claims), method: 'GET' })
  const names = ['host', 'accept', 'authorization', 'dpop']
  const fields = names.map((name): [string, string] => [name, headers(name)[0] ?? ''])
  const response = await gated(new Request(RESOURCE, { method, headers: fields }))
  assert.equal(response.status, 200)
  await assert.rejects(response.text(), /terminated/)
  const target = { kind: 'session', value: claims.sid } as const
  await rig.publisher.revoke({ target, until: claims.exp, reason: 'test', by: 'test' })
  // An exception in the watch would be nobody's to catch, and would fail this run.
  await new Promise((resolve) => setTimeout(resolve, 600))
})

describe('a body parser that ran before the gate', () => {
  /** Each mounts something that reads the body in front of the gate, and reports what was thrown. */
  const parsers: Record<
    string,
    (
      thrown: (error: unknown) => void,
    ) => Promise<(req: IncomingMessage, res: ServerResponse) => void>
  > = {
    async express(thrown) {
      const app = express()
      app.use(express.json())
      app.use(expressGate(verifier))
      app.use((error: unknown, _req: unknown, res: express.Response, _next: unknown) => {
        thrown(error)
        res.status(500).end()
      })
      return app
    },
    async koa(thrown) {
      const app = new Koa()
      app.on('error', thrown)
      app.use(async (ctx, next) => {
        await text(ctx.req)
        await next()
      })
      app.use(koaGate(verifier))
      return app.callback()
    },
    async fastify(thrown) {
      const app = Fastify()
      app.setErrorHandler((error, _request, reply) => {
        thrown(error)
        return reply.code(500).send()
      })
      app.addHook('onRequest', async (request) => void (await text(request.raw)))
      await app.register(async (scope) => {
        scope.register(fastifyGate(verifier))
        scope.post('/mcp', async () => 'ran')
      })
      await app.ready()
      return (req, res) => app.routing(req, res)
    },
    async hono(thrown) {
      const app = new Hono()
      app.onError((error, c) => {
        thrown(error)
        return c.body(null, 500)
      })
      app.use(async (c, next) => {
        await c.req.json()
        await next()
      })
      app.use(honoGate(verifier))
      return getRequestListener(app.fetch)
    },
    async 'hono, with createMcpHonoApp'(thrown) {
      const app = createMcpHonoApp({ allowedHosts: ['mcp.example'] })
      app.onError((error, c) => {
        thrown(error)
        return c.body(null, 500)
      })
      app.use(honoGate(verifier))
      return getRequestListener(app.fetch)
    },
    async node(thrown) {
      const gate = nodeGate(verifier)
      return async (req, res) => {
        await text(req)
        await gate(req, res).catch(thrown)
        res.writeHead(500).end()
      }
    },
    async fetch(thrown) {
      const gated = fetchGate(verifier, () => new Response('ran'))
      return getRequestListener(async (request: Request) => {
        await request.text()
        return gated(request).catch((error: unknown) => {
          thrown(error)
          return new Response(null, { status: 500 })
        })
      })
    },
  }
  for (const [name, mount] of Object.entries(parsers)) {
    test(`${name}: is a TypeError that says so`, async (t) => {
      let error: unknown
      const server = await listen(await mount((thrown) => (error = thrown)))
      t.after(() => server.close())
      assert.equal((await server.send(right())).status, 500)
      assert.ok(error instanceof TypeError, String(error))
      assert.match(error.message, /body parser ran before the gate/)
    })
  }
})
