import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { Refusal } from '../../src/refusal.ts'
import { createGuard } from '../../src/server/guard.ts'

const cases: [string, string, string | undefined, string, boolean][] = [
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
  ['https://broker.example', '127.0.0.1', 'a@broker.example', '127.0.0.1', false],
  ['https://broker.example', '127.0.0.1', undefined, '127.0.0.1', false],
]
for (const [issuer, listener, host, localAddress, accepted] of cases) {
  test(`on ${listener} the host ${host} is ${accepted ? 'ours' : 'foreign'}`, () => {
    const guard = createGuard([issuer], { host: listener, port: 4470 })
    const request = { headers: { host }, rawHeaders: [], socket: { localAddress, localPort: 4470 } }
    const check = () => guard(request as unknown as IncomingMessage)
    if (accepted) check()
    else assert.throws(check, Refusal)
  })
}
