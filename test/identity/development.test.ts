import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { chmod, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openBundles } from '../../src/identity/bundles/bundles.ts'
import { createDevelopmentDomain, openDevelopmentDomain } from '../../src/identity/development.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { ISSUER, temporaryDirectory } from './svids.ts'

const now = Date.now() / 1000
const request = { path: '/agents/bot', audience: ISSUER, lifetimeSeconds: 300, now }

test('what a development domain issues, its bundle vouches for', async (t) => {
  const directory = join(await temporaryDirectory(t), 'domain')
  const bundleFile = join(await temporaryDirectory(t), 'corp.test.json')
  await createDevelopmentDomain({ directory, bundleFile, trustDomain: 'corp.test' })
  const domain = await openDevelopmentDomain({ directory, bundleFile })
  const bundles = await openBundles([{ trustDomain: 'corp.test', file: bundleFile }])
  t.after(() => bundles.close())
  const prover = createJwtSvidProver({ bundles, audience: ISSUER })
  assert.equal(
    prover.prove(await domain.issueJwtSvid(request), now).id,
    'spiffe://corp.test/agents/bot',
  )
})

test('its certificates keep to the rules of X.509-SVIDs', async (t) => {
  const directory = await temporaryDirectory(t)
  const domain = await createDevelopmentDomain({ directory, trustDomain: 'corp.test' })
  const svid = await domain.issueX509Svid({ path: '/agents/bot', lifetimeSeconds: 300 })
  const leaf = new X509Certificate(svid.certificatePem)
  const ca = new X509Certificate(await readFile(join(directory, 'ca.pem')))
  assert.equal(leaf.subjectAltName, 'URI:spiffe://corp.test/agents/bot')
  assert.equal(leaf.ca, false)
  assert.equal(ca.ca, true)
  assert.equal(leaf.checkIssued(ca), true)
  assert.equal(leaf.verify(ca.publicKey), true)
  assert.deepEqual([...(leaf.keyUsage ?? [])].sort(), ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  assert.ok(svid.privateKeyPem?.startsWith('-----BEGIN PRIVATE KEY-----'))
  assert.ok(Date.parse(leaf.validTo) - Date.now() <= 301_000)

  const bundle = JSON.parse(await readFile(domain.bundleFile, 'utf8'))
  const vouching = bundle.keys.find((key: { use: string }) => key.use === 'x509-svid')
  assert.equal(vouching.x5c[0], ca.raw.toString('base64'))
  const mine = await domain.issueX509Svid({
    path: '/agents/bot',
    lifetimeSeconds: 300,
    publicKey: leaf.publicKey,
  })
  assert.equal(mine.privateKeyPem, undefined)
})

for (const name of [
  'corp.example.com',
  'example.com',
  'mytest',
  'corp.internal',
  'test.',
  'Corp.test',
]) {
  test(`a development domain cannot be called ${name}`, async (t) => {
    const directory = join(await temporaryDirectory(t), 'domain')
    await assert.rejects(createDevelopmentDomain({ directory, trustDomain: name }), TypeError)
    await assert.rejects(stat(directory))
  })
}

test('private keys are in files of mode 0600, and nowhere else', async (t) => {
  const directory = await temporaryDirectory(t)
  await createDevelopmentDomain({ directory, trustDomain: 'corp.localhost' })
  for (const name of await readdir(directory)) {
    const file = join(directory, name)
    const secret = /PRIVATE KEY|"d":/.test(await readFile(file, 'utf8'))
    assert.equal(secret, name.endsWith('.key'))
    if (secret) assert.equal((await stat(file)).mode & 0o777, 0o600)
  }
})

test('keys that others can read are not used', async (t) => {
  const directory = await temporaryDirectory(t)
  await createDevelopmentDomain({ directory, trustDomain: 'corp.test' })
  await chmod(join(directory, 'jwt-svid.key'), 0o644)
  await assert.rejects(openDevelopmentDomain({ directory }), /can be read by others/)
})

test('a domain is never replaced', async (t) => {
  const directory = await temporaryDirectory(t)
  await createDevelopmentDomain({ directory, trustDomain: 'corp.test' })
  await assert.rejects(createDevelopmentDomain({ directory, trustDomain: 'corp.test' }))
  await assert.rejects(openDevelopmentDomain({ directory: join(directory, 'no') }), /holds no/)
})

test('a path that makes no workload id is a mistake of the caller', async (t) => {
  const directory = await temporaryDirectory(t)
  const domain = await createDevelopmentDomain({ directory, trustDomain: 'corp.test' })
  for (const path of ['', 'agents', '/', '/a/', '.evil/a', '/a b', '/../b']) {
    await assert.rejects(domain.issueJwtSvid({ ...request, path }), TypeError)
    await assert.rejects(domain.issueX509Svid({ path, lifetimeSeconds: 1 }), TypeError)
  }
})
