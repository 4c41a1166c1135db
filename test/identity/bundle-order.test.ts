import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type EndpointSource, openBundles } from '../../src/identity/bundles/bundles.ts'
import { corp } from './bundle-endpoints.ts'
import { bundleText, fileWith } from './trust.ts'

const web127 = { url: 'https://127.0.0.1/b', profile: 'https_web' as const }
const spiffe127 = {
  url: 'https://127.0.0.1/b',
  profile: 'https_spiffe' as const,
  spiffeId: 'spiffe://corp.test/bundle',
  bootstrapFile: '/nowhere',
}
const MISTAKES: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
  ['an http url', { endpoint: { ...web127, url: 'http://127.0.0.1/b' } }, /must be https/],
  ['a url with a user', { endpoint: { ...web127, url: 'https://u:p@corp.test/' } }, /url/],
  ['a url with a fragment', { endpoint: { ...web127, url: 'https://corp.test/#a' } }, /fragment/],
  ['a url that is none', { endpoint: { ...web127, url: 'corp.test' } }, /url/],
  ['a profile that is none', { endpoint: { ...web127, profile: 'https' } }, /https_web or https_/],
  ['an id that is none', { endpoint: { ...spiffe127, spiffeId: 'corp' } }, /SPIFFE ID of a work/],
  [
    'the id of a domain',
    { endpoint: { ...spiffe127, spiffeId: 'spiffe://corp.test' } },
    /of a work/,
  ],
  ['no bootstrap file', { endpoint: { ...spiffe127, bootstrapFile: undefined } }, /needs a boot/],
  [
    'an endpoint of a domain that is not listed',
    { endpoint: { ...spiffe127, spiffeId: 'spiffe://other.test/b', bootstrapFile: undefined } },
    /of other\.test, which is not listed/,
  ],
  [
    "a bootstrap file for another domain's endpoint",
    { endpoint: { ...spiffe127, spiffeId: 'spiffe://other.test/b' } },
    /whose own bundle counts/,
  ],
  ['a CA file for an SVID', { endpoint: spiffe127, caFile: '/nowhere' }, /https_web only/],
  ['a CA file that is not there', { endpoint: web127, caFile: '/nowhere/ca.pem' }, /CA file/],
  ['an address that is none', { endpoint: web127, allowAddresses: ['loopback'] }, /loopback/],
  ['an age that is none', { endpoint: web127, maxAgeSeconds: 0 }, /positive/],
]
for (const [name, source, problem] of MISTAKES) {
  test(`nothing starts with ${name}`, async () => {
    const sources = [{ trustDomain: 'corp.test', ...source } as EndpointSource]
    await assert.rejects(openBundles(sources), (error) => {
      assert.ok(error instanceof TypeError)
      assert.match(error.message, problem)
      return true
    })
  })
}

test('endpoints that need each other are a mistake', async () => {
  const served = (trustDomain: string, by: string) => ({
    trustDomain,
    endpoint: { url: web127.url, profile: spiffe127.profile, spiffeId: `spiffe://${by}/bundle` },
  })
  const sources = [served('a.test', 'b.test'), served('b.test', 'a.test')]
  await assert.rejects(openBundles(sources), /a\.test, b\.test need each other/)
})

test('nothing starts on a bootstrap bundle that cannot be read or has no authority', async (t) => {
  for (const [text, problem] of [
    ['{', /bootstrap bundle of corp\.test/],
    [bundleText({ jwt: [corp.key] }), /no usable X\.509 authority/],
  ] as const) {
    const bootstrapFile = await fileWith(t, text)
    const sources = [{ trustDomain: 'corp.test', endpoint: { ...spiffe127, bootstrapFile } }]
    await assert.rejects(openBundles(sources), problem)
  }
})
