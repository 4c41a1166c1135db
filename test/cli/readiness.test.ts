import assert from 'node:assert/strict'
import { test } from 'node:test'
import { trustFault } from '../../src/cli/readiness.ts'
import type { BundleHealth } from '../../src/identity/bundles/bundles.ts'

const well = {
  trustDomain: 'corp.test',
  source: 'file',
  ageSeconds: 0,
  sequence: undefined,
  jwtKeys: 1,
  x509Authorities: 1,
  problem: undefined,
} as const satisfies BundleHealth
const EMPTY = { jwtKeys: 0, x509Authorities: 0 } as const
const partner = { ...well, trustDomain: 'partner.test', source: 'https_web' } as const

const CASES: readonly (readonly [
  string,
  readonly BundleHealth[],
  issuers: number,
  RegExp | undefined,
])[] = [
  ['a domain with keys', [well], 0, undefined],
  ['a domain with authorities alone', [{ ...well, jwtKeys: 0 }], 0, undefined],
  ['no domain, but an issuer', [], 1, undefined],
  ['nobody could be proved', [{ ...well, ...EMPTY }], 0, /nobody/],
  [
    'the Workload API has not answered yet',
    [{ ...well, ...EMPTY, source: 'stream', ageSeconds: undefined }, partner],
    0,
    /corp\.test/,
  ],
  [
    'the last good bundle of a lost file is too old',
    [{ ...well, ...EMPTY, ageSeconds: 700 }, partner],
    0,
    /corp\.test/,
  ],
  ['a bundle was emptied on purpose', [{ ...well, ...EMPTY }, partner], 0, undefined],
  [
    "a partner's endpoint is down",
    [well, { ...partner, ...EMPTY, ageSeconds: 9000 }],
    0,
    undefined,
  ],
  [
    "a partner's endpoint never answered",
    [well, { ...partner, ...EMPTY, ageSeconds: undefined }],
    0,
    undefined,
  ],
  ['a lost file, though issuers are there', [{ ...well, ...EMPTY, ageSeconds: 700 }], 1, /corp/],
  ['a lost file whose last good bundle still serves', [{ ...well, ageSeconds: 20 }], 0, undefined],
]
for (const [title, domains, issuers, expected] of CASES) {
  test(`${expected === undefined ? 'ready' : 'not ready'}: ${title}`, () => {
    const fault = trustFault(domains, issuers)
    if (expected === undefined) assert.equal(fault, undefined)
    else assert.match(fault ?? '', expected)
  })
}
