import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { openBundles } from '../../src/identity/bundles/bundles.ts'
import { createDevelopmentDomain } from '../../src/identity/development.ts'
import { type Certificate, parseCertificate } from '../../src/identity/x509/certificate.ts'
import { CertificateError } from '../../src/identity/x509/certificate-error.ts'
import { createX509SvidProver } from '../../src/identity/x509/x509-svid.ts'
import { Refusal } from '../../src/refusal.ts'
import { temporaryDirectory } from './svids.ts'
import { BAD, CORP, GOOD, OTHER } from './x509-cases.ts'
import { altName, ID, intermediate, leaf, type Made, NOW, root, uri } from './x509-maker.ts'

/** Bundles that a test changes at will. */
function bundlesOf(authorities: Record<string, readonly Made[]>) {
  const held = new Map(Object.entries(authorities).map(([name, list]) => [name, readable(list)]))
  let version = 1
  return {
    knows: (trustDomain: string) => held.has(trustDomain),
    version: () => version,
    x509Authorities: (trustDomain: string) => held.get(trustDomain) ?? [],
    replace(trustDomain: string, list: readonly Made[]) {
      held.set(trustDomain, readable(list))
      version += 1
    },
  }
}

function readable(list: readonly Made[]): Certificate[] {
  return list.flatMap(({ der }) => {
    try {
      return [parseCertificate(der)]
    } catch (error) {
      assert.ok(error instanceof CertificateError)
      return []
    }
  })
}

const derOf = (chain: readonly Made[]) => chain.map(({ der }) => der)

function invalid(check: string) {
  return (error: unknown) => {
    assert.ok(error instanceof Refusal, String(error))
    assert.deepEqual(error.reason, { code: 'identity_invalid', check })
    return true
  }
}

for (const { title, chain, authorities = [] } of GOOD) {
  test(`an SVID is believed: ${title}`, () => {
    const bundles = bundlesOf({ 'corp.test': [CORP, ...authorities], 'other.test': [OTHER] })
    const workload = createX509SvidProver({ bundles }).prove(derOf(chain), NOW)
    const thumbprint = parseCertificate(chain[0]?.der ?? Buffer.alloc(0)).thumbprint
    assert.equal(workload.id, ID)
    assert.equal(workload.kind, 'spiffe')
    assert.equal(workload.issuer, 'corp.test')
    assert.equal(workload.credential, thumbprint)
    assert.ok(workload.expiresAt > NOW)
  })
}

for (const { title, check = '', chain, authorities = [] } of BAD) {
  test(`no SVID: ${title}`, () => {
    const bundles = bundlesOf({ 'corp.test': [CORP, ...authorities], 'other.test': [OTHER] })
    const prover = createX509SvidProver({ bundles })
    assert.throws(() => prover.prove(derOf(chain), NOW), invalid(check))
    // A refusal leaves nothing behind that would let it through later.
    assert.throws(() => prover.prove(derOf(chain), NOW), invalid(check))
  })
}

test('a trust domain that is not configured vouches for nobody', () => {
  const prover = createX509SvidProver({ bundles: bundlesOf({ 'other.test': [OTHER, CORP] }) })
  assert.throws(
    () => prover.prove(derOf([leaf(CORP)]), NOW),
    (error) =>
      error instanceof Refusal &&
      error.reason.code === 'identity_unknown_issuer' &&
      error.reason.issuer === 'corp.test',
  )
})

test('an SVID ends with the first certificate of its path that ends', () => {
  const authority = intermediate(CORP, { notAfter: NOW + 600 })
  const prover = createX509SvidProver({ bundles: bundlesOf({ 'corp.test': [CORP] }) })
  const chain = derOf([leaf(authority, { notAfter: NOW + 3600 }), authority])
  assert.equal(prover.prove(chain, NOW).expiresAt, NOW + 600)
})

test('a remembered SVID is one and the same, and ends when it expires', () => {
  const bundles = bundlesOf({ 'corp.test': [CORP] })
  const prover = createX509SvidProver({ bundles })
  const chain = derOf([leaf(CORP, { notBefore: NOW, notAfter: NOW + 60 })])
  const first = prover.prove(chain, NOW + 30)
  assert.equal(prover.prove(chain, NOW + 59.9), first)
  assert.throws(() => prover.prove(chain, NOW + 60), invalid('expiry'))
  assert.throws(() => prover.prove(chain, NOW - 1), invalid('expiry'))
  assert.throws(() => prover.prove(chain, Number.NaN), invalid('expiry'))
})

test('a remembered SVID does not outlive the authority that is taken out of its bundle', () => {
  const bundles = bundlesOf({ 'corp.test': [CORP] })
  const prover = createX509SvidProver({ bundles })
  const chain = derOf([leaf(CORP)])
  prover.prove(chain, NOW)
  bundles.replace('corp.test', [])
  assert.throws(() => prover.prove(chain, NOW), invalid('chain'))
  bundles.replace('corp.test', [root()])
  assert.throws(() => prover.prove(chain, NOW), invalid('chain'))
  bundles.replace('corp.test', [CORP])
  assert.equal(prover.prove(chain, NOW).id, ID)
})

test('a chain is remembered as a whole: its leaf alone is another one', () => {
  const authority = intermediate(CORP)
  const prover = createX509SvidProver({ bundles: bundlesOf({ 'corp.test': [CORP] }) })
  const chain = derOf([leaf(authority), authority])
  prover.prove(chain, NOW)
  assert.throws(() => prover.prove(chain.slice(0, 1), NOW), invalid('chain'))
  assert.throws(() => prover.prove([Buffer.concat(chain)], NOW), invalid('certificate'))
})

test('no certificate, too many of them, and too long ones are no SVID', () => {
  const prover = createX509SvidProver({ bundles: bundlesOf({ 'corp.test': [CORP] }) })
  const bot = leaf(CORP).der
  const nine = Array.from({ length: 9 }, () => CORP.der)
  const long = leaf(CORP, {
    extensions: { long: altName([uri(`spiffe://corp.test/${'a'.repeat(17_000)}`)]) },
  })
  for (const chain of [
    [],
    [bot, ...nine],
    [long.der],
    [bot, Buffer.from('no DER')],
    [Buffer.alloc(0)],
  ]) {
    assert.throws(() => prover.prove(chain, NOW), invalid('certificate'))
  }
})

test('an SVID of a real bundle file is believed, and its authority by another name is not', async (t) => {
  const directory = await temporaryDirectory(t)
  const domain = await createDevelopmentDomain({ directory, trustDomain: 'corp.test' })
  const now = Date.now() / 1000
  const svid = await domain.issueX509Svid({ path: '/agents/bot', lifetimeSeconds: 60, now })
  const chain = [Buffer.from(svid.certificatePem.replace(/-----.*-----|\s/g, ''), 'base64')]
  const file = join(directory, 'bundle.json')
  const bundles = await openBundles([{ trustDomain: 'corp.test', file }])
  t.after(() => bundles.close())
  const other = await openBundles([{ trustDomain: 'other.test', file }])
  t.after(() => other.close())
  assert.equal(createX509SvidProver({ bundles }).prove(chain, now).id, ID)
  assert.throws(
    () => createX509SvidProver({ bundles: other }).prove(chain, now),
    (error) => error instanceof Refusal && error.reason.code === 'identity_unknown_issuer',
  )
})
