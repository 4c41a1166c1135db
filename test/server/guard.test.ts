import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { Refusal } from '../../src/refusal.ts'
import { createGuard } from '../../src/server/guard.ts'

const cases: [string, string, string | undefined, string | undefined, boolean][] = [
  // issuer, listener, host, the connection's own address, accepted
  ['https://broker.example', '0.0.0.0', 'broker.example', '10.0.0.7', true],
  ['https://broker.example', '0.0.0.0', 'broker.example:443', '10.0.0.7', true],
  ['https://broker.example', '0.0.0.0', 'broker.example:80', '10.0.0.7', false],
  ['https://broker.example', '0.0.0.0', 'BROKER.example', '10.0.0.7', true],
  ['https://broker.example', '0.0.0.0', '10.0.0.7:4470', '10.0.0.7', true],
  ['https://broker.example', '::', '10.0.0.7:4470', '::ffff:10.0.0.7', true],
  ['https://broker.example', '::', '[fd00::7]:4470', 'fd00::7', true],
  ['https://broker.example', '0.0.0.0', '10.0.0.8:4470', '10.0.0.7', false],
  ['https://broker.example', '0.0.0.0', 'localhost:4470', '10.0.0.7', false],
  ['https://broker.example', '127.0.0.1', 'localhost:4470', '127.0.0.1', true],
  ['https://broker.example', '127.0.0.1', 'localhost:4471', '127.0.0.1', false],
  ['https://broker.example', '127.0.0.1', 'broker.example.', '127.0.0.1', false],
  ['https://broker.example', '127.0.0.1', '10.0.0.7:4471', '10.0.0.7', false],
  ['https://broker.example', '127.0.0.1', '10.0.0.7', '10.0.0.7', false],
  ['https://broker.example', '::1', 'localhost:4470', '::1', true],
  ['https://broker.example', 'localhost', '[::1]:4470', '::1', true],
  ['https://broker.example', 'localhost', 'localhost:4470', '::1', true],
  ['http://[::1]:8080', '0.0.0.0', '[::1]:8080', '10.0.0.7', true],
  ['https://[::1]', '0.0.0.0', '[::1]:443', '10.0.0.7', true],
  ['https://broker.example', '127.0.0.9', '127.0.0.9:4470', undefined, true],
  ['https://broker.example', '127.0.0.1', 'undefined:4470', undefined, false],
  ['http://broker.example', '0.0.0.0', 'broker.example:80', '10.0.0.7', true],
  ['http://broker.example:8080', '0.0.0.0', 'broker.example', '10.0.0.7', false],
  ['http://broker.example:8080', '0.0.0.0', 'broker.example:80', '10.0.0.7', false],
  ['https://broker.example', '127.0.0.1', 'a@broker.example', '127.0.0.1', false],
  ['https://broker.example', '127.0.0.1', undefined, '127.0.0.1', false],
]
for (const [issuer, listener, host, localAddress, accepted] of cases) {
  test(`on ${listener} for ${issuer} the host ${host} is ${accepted ? 'ours' : 'foreign'}`, () => {
    const guard = createGuard([issuer], { host: listener, port: 4470 })
    const request = { headers: { host }, rawHeaders: [], socket: { localAddress, localPort: 4470 } }
    const check = () => guard(request as unknown as IncomingMessage)
    if (accepted) check()
    else assert.throws(check, Refusal)
  })
}

test('where the port is the usual one of the scheme, its callers leave it out', () => {
  for (const [scheme, port, usual] of [
    ['http', 80, true],
    ['https', 443, true],
    ['http', 443, false],
    ['https', 80, false],
  ] as const) {
    const guard = createGuard(['https://broker.example'], { host: '127.0.0.1', port }, scheme)
    for (const host of ['10.0.0.7', 'localhost']) {
      const socket = { localAddress: '10.0.0.7', localPort: port }
      const check = () =>
        guard({ headers: { host }, rawHeaders: [], socket } as unknown as IncomingMessage)
      if (usual) check()
      else assert.throws(check, Refusal)
    }
  }
})

const origins: [string, 'http' | 'https', number, boolean][] = [
  ['https://broker.example', 'http', 4470, true],
  ['HTTPS://Broker.Example', 'http', 4470, true],
  ['https://broker.example:443', 'http', 4470, false],
  ['http://broker.example', 'http', 4470, false],
  ['https://broker.example.evil', 'http', 4470, false],
  ['http://127.0.0.1:4470', 'http', 4470, true],
  ['http://localhost:4470', 'http', 4470, true],
  ['https://localhost:4470', 'http', 4470, false],
  ['https://localhost:4470', 'https', 4470, true],
  ['http://localhost:4470', 'https', 4470, false],
  ['https://localhost', 'https', 443, true],
  ['http://localhost:4471', 'http', 4470, false],
  ['http://10.0.0.7:4470', 'http', 4470, false],
  ['null', 'http', 4470, false],
  ['', 'http', 4470, false],
]
for (const [origin, scheme, port, accepted] of origins) {
  const title = `on ${scheme} port ${port} a page of "${origin}" is ${accepted ? 'ours' : 'foreign'}`
  test(title, () => {
    const guard = createGuard(['https://broker.example'], { host: '127.0.0.1', port }, scheme)
    const headers = { host: 'broker.example', origin }
    const socket = { localAddress: '10.0.0.7', localPort: port }
    const check = () => guard({ headers, rawHeaders: [], socket } as unknown as IncomingMessage)
    if (accepted) check()
    else assert.throws(check, Refusal)
  })
}
