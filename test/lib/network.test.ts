import assert from 'node:assert/strict'
import { test } from 'node:test'
import { networkOf } from '../../src/lib/network.ts'

const networks: [string, string][] = [
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::6', '2001:db8:1:2'],
  ['2001:db8::6', '2001:db8:0:0'],
  ['2001:db8:1::4:5:6:7', '2001:db8:1:0'],
  ['1::4:5:6:7:8', '1:0:0:4'],
  ['::4:5:6:7:8', '0:0:0:4'],
  ['::1', '0:0:0:0'],
  ['::', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
  ['192.0.2.1', '192.0.2.1'],
]
for (const [address, network] of networks) {
  test(`${address} is counted as ${network}`, () => assert.equal(networkOf(address), network))
}

test('who has no address any more is counted with others like that', () => {
  assert.equal(networkOf(undefined), 'unknown')
})
