import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressSet, isSpecialAddress } from '../../src/identity/special-addresses.ts'

/** The first and last address of every special-use block, and the spellings that hide one. */
const SPECIAL = [
  ...['0.0.0.0', '0.255.255.255', '10.0.0.0', '10.255.255.255', '100.64.0.0', '100.127.255.255'],
  ...['127.0.0.1', '127.255.255.255', '169.254.0.0', '169.254.169.254', '172.16.0.0'],
  ...['172.31.255.255', '192.0.0.0', '192.0.0.255', '192.0.2.0', '192.0.2.255', '192.31.196.1'],
  ...['192.52.193.1', '192.88.99.0', '192.88.99.255', '192.168.0.0', '192.168.255.255'],
  ...['192.175.48.1', '198.18.0.0', '198.19.255.255', '198.51.100.0', '198.51.100.255'],
  ...['203.0.113.0', '203.0.113.255', '224.0.0.0', '239.255.255.255', '240.0.0.0'],
  ...['255.255.255.255'],
  ...['::', '::1', '::7f00:1', '::127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe'],
  ...['64:ff9b::10.0.0.1', '64:ff9b::7f00:1', '64:ff9b::', '64:ff9b:1::8.8.8.8', '100::', '100::1'],
  ...['2001::', '2001:0:4136:e378:8000:63bf:3fff:fdd2', '2001:2::1', '2001:10::1', '2001:1ff::1'],
  ...['2001:db8::', '2001:db8:ffff::1', '2002::', '2002:7f00:1::', '2002:ffff::1'],
  ...['2620:4f:8000::1', '3fff::', '3fff:fff::1', '5f00::1', 'fc00::', 'fdff::1', 'fe80::1'],
  ...['febf::1', 'fec0::1', 'ff00::', 'ff02::1', '4000::1', 'fe80::1%eth0', '2606:4700::1%eth0'],
  ...['localhost', '', '1.2.3', '08.8.8.8'],
]
const PLAIN = [
  ...['1.0.0.1', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255'],
  ...['128.0.0.0', '169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '191.255.0.1'],
  ...['192.0.1.0', '192.0.3.0', '192.167.255.255', '192.169.0.0', '198.17.255.255', '198.20.0.0'],
  ...['198.51.99.255', '203.0.112.255', '203.0.114.0', '223.255.255.255', '8.8.8.8'],
  ...['2000::1', '2001:200::1', '2001:db7:ffff::1', '2001:db9::1', '2003::1', '2606:4700::1111'],
  ...['3ffe:ffff::1', '3fff:1000::1', '::ffff:8.8.8.8', '::ffff:808:808', '64:ff9b::8.8.8.8'],
  ...['64:ff9b::808:808', '64:ff9b::102:304'],
]
for (const address of SPECIAL) {
  test(`special: ${address}`, () => assert.equal(isSpecialAddress(address), true))
}
for (const address of PLAIN) {
  test(`not special: ${address}`, () => assert.equal(isSpecialAddress(address), false))
}

test('an IPv4 address is judged the same inside IPv6, in every spelling', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 4 }), (bytes) => {
      const v4 = [...bytes].join('.')
      const [a, b, c, d] = [...bytes] as [number, number, number, number]
      const hex = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
      for (const prefix of ['::ffff:', '64:ff9b::', '0:0:0:0:0:ffff:', '0064:ff9b:0:0:0:0:']) {
        assert.equal(isSpecialAddress(prefix + v4), isSpecialAddress(v4), prefix + v4)
        assert.equal(isSpecialAddress(prefix + hex), isSpecialAddress(v4), prefix + hex)
      }
    }),
  )
})

test('a set holds what its blocks hold, IPv4 inside IPv6 included', () => {
  const set = addressSet(['10.1.0.0/16', '127.0.0.1', 'fd00::/8', '::1'])
  for (const one of ['10.1.2.3', '127.0.0.1', '::ffff:10.1.0.1', 'fd12::1', '::1']) {
    assert.ok(set.has(one), one)
  }
  for (const one of ['10.2.0.0', '127.0.0.2', 'fe00::1', '::2', 'x', 'fd12::1%lo']) {
    assert.ok(!set.has(one), one)
  }
})
