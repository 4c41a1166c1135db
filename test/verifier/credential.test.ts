import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Refusal } from '../../src/refusal.ts'
import { parseAuthorization } from '../../src/verifier/credential.ts'
import { checkDoors, doorsOf } from '../../src/verifier/doors.ts'
import type { GateRequest } from '../../src/verifier/request.ts'

test('the scheme has no case, the token has', () => {
  for (const scheme of ['DPoP', 'dpop', 'DPOP']) {
    assert.deepEqual(parseAuthorization([`${scheme} aB.c-D_`]), {
      scheme: 'dpop',
      token: 'aB.c-D_',
    })
  }
  assert.equal(parseAuthorization(['bearer x']).scheme, 'bearer')
})

const refused: [title: string, values: string[]][] = [
  ['nothing', []],
  ['an empty header', ['']],
  ['a scheme alone', ['DPoP']],
  ['a scheme and a space', ['DPoP ']],
  ['two spaces', ['DPoP  a.b.c']],
  ['a tab', ['DPoP\ta.b.c']],
  ['a space before', [' DPoP a.b.c']],
  ['a space behind', ['DPoP a.b.c ']],
  ['a line behind', ['DPoP a.b.c\n']],
  ['two tokens', ['DPoP a.b.c d.e.f']],
  ['two credentials', ['DPoP a.b.c, Bearer d.e.f']],
  ['a parameter', ['DPoP token="a.b.c"']],
  ['another scheme', ['Basic YTpi']],
  ['a token over 16 KiB', [`DPoP ${'a'.repeat(16_385)}`]],
]
for (const [title, values] of refused) {
  test(`${title} is refused`, () => {
    assert.throws(() => parseAuthorization(values), Refusal)
  })
}

test('whatever the headers are, the answer is one whole token or a refusal', () => {
  fc.assert(
    fc.property(fc.array(fc.string(), { maxLength: 3 }), (values) => {
      try {
        const { scheme, token } = parseAuthorization(values)
        assert.equal(values.length, 1)
        assert.equal(values[0]?.toLowerCase(), `${scheme} ${token}`.toLowerCase())
      } catch (error) {
        assert.ok(error instanceof Refusal)
      }
    }),
  )
})

const hosts: [resource: string, host: string, allowed: boolean][] = [
  ['https://mcp.example/mcp', 'mcp.example', true],
  ['https://mcp.example/mcp', 'MCP.example', true],
  ['https://mcp.example/mcp', 'mcp.example:443', true],
  ['https://mcp.example/mcp', 'mcp.example:8443', false],
  ['https://mcp.example/mcp', 'mcp.example.evil.example', false],
  ['https://mcp.example/mcp', 'evil.example/mcp.example', false],
  ['https://mcp.example/mcp', 'mcp.example@evil.example', false],
  ['http://127.0.0.1:4474/mcp', '127.0.0.1:4474', true],
  ['http://127.0.0.1:4474/mcp', '127.0.0.1', false],
  ['http://127.0.0.1:4474/mcp', 'localhost:4474', false],
  ['http://[::1]:4474/mcp', '[::1]:4474', true],
]
for (const [resource, host, allowed] of hosts) {
  test(`Host ${host} ${allowed ? 'is' : 'is not'} ${resource}`, () => {
    const request = {
      path: '/mcp',
      headers: (name: string) => (name === 'host' ? [host] : []),
    } as Partial<GateRequest> as GateRequest
    const check = () => checkDoors(request, doorsOf(new URL(resource)))
    if (allowed) check()
    else assert.throws(check, Refusal)
  })
}
