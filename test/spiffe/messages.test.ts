import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { SpiffeError } from '../../src/spiffe/error.ts'
import { readJwtBundles, readX509Bundles, readX509Context } from '../../src/spiffe/messages.ts'
import { type Domain, makeDomain, type Svid } from './domains.ts'

let corp: Domain
let svid: Svid
const now = Date.now() / 1000

before(async () => {
  corp = await makeDomain('corp.test')
  svid = await corp.svid('/a')
})
after(() => corp.remove())

function messageOf(changes: object = {}) {
  const { spiffe_id, x509_svid, x509_svid_key, bundle } = svid.message
  return {
    svids: [
      {
        spiffe_id,
        x509_svid: Buffer.from(x509_svid),
        x509_svid_key: Buffer.from(x509_svid_key),
        bundle: Buffer.from(bundle),
        hint: '',
      },
    ],
    federated_bundles: {},
    ...changes,
  }
}

test('the bytes of a key are erased from the message, believed or not', () => {
  const good = messageOf()
  readX509Context(good, now)
  const bad = messageOf({ federated_bundles: { nothing: Buffer.alloc(0) } })
  assert.throws(() => readX509Context(bad, now), SpiffeError)
  for (const { svids } of [good, bad]) {
    assert.ok(svids.every(({ x509_svid_key }) => x509_svid_key.every((byte) => byte === 0)))
  }
})

test('what was read does not change when the message does', () => {
  const message = messageOf()
  const context = readX509Context(message, now)
  for (const one of message.svids) {
    one.x509_svid.fill(0)
    one.bundle.fill(0)
  }
  assert.deepEqual(context.svids[0]?.chain, svid.chain)
  assert.deepEqual(context.svids[0]?.authorities, [corp.caDer])
})

test('bundles are of trust domains, one each, and of certificates', () => {
  const der = Buffer.from(corp.caDer)
  const cases: [string, Record<string, Buffer>][] = [
    ['a workload', { 'spiffe://corp.test/a': der }],
    ['a bare name', { 'corp.test': der }],
    ['no name', { '': der }],
    ['a cut certificate', { 'spiffe://corp.test': der.subarray(0, -1) }],
    ['bytes after it', { 'spiffe://corp.test': Buffer.concat([der, Buffer.from([0])]) }],
    ['no sequence', { 'spiffe://corp.test': Buffer.from([4, 1, 0]) }],
    ['too many', { 'spiffe://corp.test': Buffer.concat(Array(257).fill(Buffer.from([0x30, 0]))) }],
    [
      'too many domains',
      Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`spiffe://d${i}`, der])),
    ],
  ]
  for (const [title, bundles] of cases) {
    assert.throws(() => readX509Bundles(bundles), { code: 'identity_invalid' }, title)
  }
  assert.throws(() => readJwtBundles({ 'spiffe://corp.test/a': der }), SpiffeError)
  // An empty one is an instruction to distrust.
  assert.deepEqual([...readX509Bundles({ 'spiffe://x.test': Buffer.alloc(0) })], [['x.test', []]])
  const own = { federated_bundles: { 'spiffe://corp.test': der } }
  assert.throws(() => readX509Context(messageOf(own), now), /two bundles of corp\.test/)
})

test('more identities than a workload can have are not looked at', () => {
  const { svids } = messageOf()
  const many = messageOf({ svids: Array(65).fill(svids[0]) })
  assert.throws(() => readX509Context(many, now), { code: 'identity_invalid' })
})

test('any bytes are read or refused', () => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  const one = fc.record({
    spiffe_id: fc.constantFrom('spiffe://corp.test/a', 'spiffe://corp.test', ''),
    x509_svid: fc.oneof(bytes, fc.constant(Buffer.from(svid.message.x509_svid))),
    x509_svid_key: bytes,
    bundle: fc.oneof(bytes, fc.constant(Buffer.from(corp.caDer))),
    hint: fc.string(),
  })
  fc.assert(
    fc.property(
      fc.array(one, { maxLength: 3 }),
      fc.dictionary(fc.string(), bytes),
      (svids, more) => {
        assert.throws(
          () => readX509Context({ svids, federated_bundles: more }, now),
          (error) => error instanceof SpiffeError,
        )
      },
    ),
  )
})
