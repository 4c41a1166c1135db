/** Which requests a listener looks at: no foreign Host, no foreign Origin, wherever they go. */
import assert from 'node:assert/strict'
import { lstat } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { describe, it } from 'node:test'
import type { BrokerProcess, Place } from './place.ts'

type Listener = 'public' | 'admin' | 'mtls'

/** Each: a listener, a method and a path, and what is answered when it is asked as it should be. */
const REQUESTS: readonly (readonly [Listener, string, string, number])[] = [
  ['public', 'POST', '/token', 400],
  ['public', 'GET', '/jwks', 200],
  ['public', 'GET', '/.well-known/oauth-authorization-server', 200],
  ['public', 'POST', '/introspect', 400],
  ['public', 'POST', '/reports', 400],
  ['public', 'GET', '/readyz', 200],
  ['mtls', 'POST', '/token', 400],
  ['mtls', 'GET', '/healthz', 200],
  ['admin', 'GET', '/v1/health', 401],
  ['admin', 'POST', '/v1/revocations', 401],
  ['admin', 'GET', '/v1/events', 401],
  ['admin', 'GET', '/v1/openapi.json', 401],
  ['admin', 'GET', '/sign-in', 303],
  ['admin', 'GET', '/sign-in/enrol', 200],
  ['admin', 'POST', '/sign-in/enrol/options', 403],
  ['admin', 'GET', '/.well-known/oauth-authorization-server', 200],
  ['admin', 'GET', '/', 200],
  ['admin', 'GET', '/sessions', 200],
  ['admin', 'GET', '/metrics', 200],
]

const FOREIGN = 'attacker.example'

interface Asked {
  readonly host?: string
  readonly origin?: string
}

function send(
  broker: BrokerProcess,
  [listener, method, path]: (typeof REQUESTS)[number],
  { host, origin }: Asked,
): Promise<{ status: number; text: string; headers: Record<string, unknown> }> {
  const ports = { public: broker.port, admin: broker.adminPort, mtls: broker.mtlsPort }
  const port = ports[listener]
  const headers = {
    // The console sends whoever comes by another name to this one.
    host: host ?? `localhost:${port}`,
    ...(origin === undefined ? {} : { origin }),
  }
  const make = listener === 'mtls' ? httpsRequest : httpRequest
  // Whose certificate it is does not matter here: nothing is sent that anybody could use.
  const tls = listener === 'mtls' ? { rejectUnauthorized: false } : {}
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof send>>>()
  const options = { ...tls, host: '127.0.0.1', port, method, path, headers, agent: false }
  const call = make(options, async (answer) => {
    let text = ''
    for await (const chunk of answer) text += chunk
    resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers })
  })
  call.once('error', reject)
  call.end()
  return promise
}

export function testListeners(parts: () => Place): void {
  describe('a foreign Host or Origin gets nothing, on any listener', () => {
    for (const asked of REQUESTS) {
      const [listener, method, path, usual] = asked
      it(`${listener}: ${method} ${path}`, async () => {
        const broker = parts().brokers[0]!
        const { status } = await send(broker, asked, {})
        assert.equal(status, usual, 'asked as it should be')
        const hosts = [
          FOREIGN,
          `${FOREIGN}:${broker.adminPort}`,
          `localhost.${FOREIGN}`,
          '127.0.0.1:1',
        ]
        for (const host of hosts) {
          const refused = await send(broker, asked, { host })
          assert.equal(refused.status, 421, host)
          assert.match(refused.text, /this host is not served here/)
          assert.equal(refused.headers['access-control-allow-origin'], undefined)
        }
        for (const origin of [`http://${FOREIGN}`, 'null', 'http://localhost:1']) {
          const refused = await send(broker, asked, { origin })
          assert.equal(refused.status, 403, origin)
          assert.match(refused.text, /requests from this origin are refused/)
          assert.equal(refused.headers['access-control-allow-origin'], undefined)
        }
      })
    }

    it('the control socket is for its owner alone', async () => {
      const { mode, uid } = await lstat(parts().brokers[0]!.control)
      assert.equal((mode & 0o777).toString(8), '600')
      assert.equal(uid, process.getuid?.())
    })
  })
}
