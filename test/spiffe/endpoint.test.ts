import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseEndpoint } from '../../src/spiffe/endpoint.ts'
import { SpiffeError } from '../../src/spiffe/error.ts'

test('the two kinds of address are understood', () => {
  for (const [text, target] of [
    ['unix:///run/spire/agent.sock', 'unix:/run/spire/agent.sock'],
    ['unix:/run/spire/agent.sock', 'unix:/run/spire/agent.sock'],
    ['unix:///run/with space/a:b@c.sock', 'unix:/run/with space/a:b@c.sock'],
    ['tcp://127.0.0.1:8081', 'ipv4:127.0.0.1:8081'],
    ['tcp://[::1]:65535', 'ipv6:[::1]:65535'],
  ] as const) {
    assert.deepEqual(parseEndpoint(text), { address: text, target })
  }
})

test('every other address is refused, with what to write instead', () => {
  const long = `unix:///${'a'.repeat(120)}`
  for (const [text, words] of [
    ['/run/spire/agent.sock', /write unix:\/\/\/run\/spire\/agent\.sock/],
    ['unix://run/spire/agent.sock', /absolute path/],
    ['unix:run/agent.sock', /absolute path/],
    ['unix:////run/agent.sock', /absolute path/],
    ['unix://', /absolute path/],
    ['unix:///', /absolute path/],
    ['unix:///run/agent.sock?x=1', /nothing else/],
    ['unix:///run/agent.sock#x', /nothing else/],
    ['unix:///run/agent%2Esock', /absolute path/],
    ['unix:///run/agent.sock\n', /absolute path/],
    ['UNIX:///run/agent.sock', /expected unix/],
    [long, /at most 107 bytes/],
    ['tcp://localhost:8081', /an IP address/],
    ['tcp://agent.example:8081', /an IP address/],
    ['tcp://127.0.0.1', /a port/],
    ['tcp://127.0.0.1:0', /a port/],
    ['tcp://127.0.0.1:65536', /a port/],
    ['tcp://127.0.0.1:080', /a port/],
    ['tcp://127.0.0.1:8081/', /nothing else/],
    ['tcp://127.0.0.1:8081/api', /nothing else/],
    ['tcp://user@127.0.0.1:8081', /nothing else/],
    ['tcp://127.1:8081', /an IP address/],
    ['tcp://::1:8081', /an IP address/],
    ['tcp://[::1%eth0]:8081', /an IP address/],
    ['https://127.0.0.1:8081', /expected unix/],
    ['dns:agent.example:8081', /expected unix/],
  ] as const) {
    assert.throws(() => parseEndpoint(text), { code: 'socket_invalid', message: words }, text)
  }
})

test('without an address the environment says it', () => {
  const before = process.env.SPIFFE_ENDPOINT_SOCKET
  try {
    process.env.SPIFFE_ENDPOINT_SOCKET = 'unix:///run/from-environment.sock'
    assert.equal(parseEndpoint().target, 'unix:/run/from-environment.sock')
    for (const nothing of [undefined, '']) {
      delete process.env.SPIFFE_ENDPOINT_SOCKET
      if (nothing !== undefined) process.env.SPIFFE_ENDPOINT_SOCKET = nothing
      assert.throws(() => parseEndpoint(), {
        code: 'socket_invalid',
        message: /SPIFFE_ENDPOINT_SOCKET/,
      })
    }
  } finally {
    delete process.env.SPIFFE_ENDPOINT_SOCKET
    if (before !== undefined) process.env.SPIFFE_ENDPOINT_SOCKET = before
  }
})

test('any text is an address or refused, and no address names a host', () => {
  const text = fc.oneof(
    fc.string(),
    fc.string().map((rest) => `unix://${rest}`),
    fc.string().map((rest) => `tcp://${rest}`),
    fc.tuple(fc.domain(), fc.nat(70_000)).map(([host, port]) => `tcp://${host}:${port}`),
  )
  fc.assert(
    fc.property(text, (address) => {
      try {
        assert.match(
          parseEndpoint(address).target,
          /^(?:unix:\/|ipv4:[\d.]+:|ipv6:\[[\da-fA-F:.]+\]:)/,
        )
      } catch (error) {
        assert.ok(error instanceof SpiffeError && error.code === 'socket_invalid')
      }
    }),
  )
})
