// Only what this broker signed as a delegation token, unchanged and in time, is one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JsonObject } from '../../src/lib/json.ts'
import { mintDelegation, mintToken } from '../../src/mint/mint.ts'
import { Refusal } from '../../src/refusal.ts'
import {
  DELEGATION_TYP,
  type DelegationClaims,
  isDelegationToken,
  MAX_DELEGATION_BYTES,
  verifyDelegation,
} from '../../src/token/delegation.ts'
import { encodeHeader, signJws } from '../../src/token/jws.ts'
import { localKeySet } from '../../src/token/key-set.ts'
import { signingKey } from '../verifier/rig.ts'

const ISSUER = 'https://broker.test'
const NOW = 1_800_000_000
const THUMBPRINT = 'RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o'
const key = signingKey('k1')
const keys = localKeySet({ keys: [key.publicJwk] }, ['ES256'])
const CLAIMS: DelegationClaims = {
  iss: ISSUER,
  aud: ISSUER,
  sub: 'user:corp:alice',
  client_id: 'spiffe://corp.test/a',
  act: { sub: 'spiffe://corp.test/a' },
  may_act: { sub: 'spiffe://corp.test/b' },
  cnf: { jkt: THUMBPRINT },
  authorization_details: [
    {
      type: 'mcp_ceiling',
      locations: ['https://mcp.test/mcp'],
      actions: ['tools/call'],
      identifiers: ['pay'],
    },
  ],
  via: ['sid-a'],
  sid: 'sid-a',
  jti: 'jti-1',
  iat: NOW,
  exp: NOW + 300,
}

const verify = (text: string, now = NOW + 1) =>
  verifyDelegation(text, { issuer: ISSUER, keys, now })
const signed = (claims: object, header: JsonObject = { typ: DELEGATION_TYP }, by = key) =>
  signJws(header, claims as JsonObject, by)

function refusedFor(check: string) {
  return (error: unknown) => {
    assert.ok(error instanceof Refusal, String(error))
    assert.deepEqual(error.reason, { code: 'identity_invalid', check })
    return true
  }
}

test('what was minted is what is verified', () => {
  const token = mintDelegation(CLAIMS, key)
  assert.ok(isDelegationToken(token))
  assert.deepEqual(verify(token), CLAIMS)
  const more = { ...CLAIMS, txn: 'task', cnf: { 'x5t#S256': THUMBPRINT } }
  assert.deepEqual(verify(signed(more)), more)
})

test('every delegation token of the broker is seen to be one, and nothing else is', () => {
  for (const algorithm of ['ES256', 'RS256', 'Ed25519'] as const) {
    const header = encodeHeader({ typ: DELEGATION_TYP }, { kid: 'k'.repeat(43), algorithm })
    assert.ok(isDelegationToken(`${header}.e30.AA`), algorithm)
  }
  for (const other of [mintToken(CLAIMS as never, key), signed(CLAIMS, {}), '', 'a.b.c']) {
    assert.ok(!isDelegationToken(other))
  }
})

const [element] = CLAIMS.authorization_details
const CHANGED: readonly (readonly [string, object, string])[] = [
  ['another issuer', { iss: 'https://other.test' }, 'issuer'],
  ['another audience', { aud: 'https://mcp.test/mcp' }, 'audience'],
  ['two audiences', { aud: [ISSUER, 'https://mcp.test/mcp'] }, 'claims'],
  ['a list of one audience', { aud: [ISSUER] }, 'claims'],
  ['no subject', { sub: undefined }, 'claims'],
  ['nobody who delegates', { client_id: undefined }, 'claims'],
  ['nobody who acts', { act: undefined }, 'claims'],
  ['another who acts than who delegates', { act: { sub: 'spiffe://corp.test/z' } }, 'claims'],
  ['nobody who may act', { may_act: undefined }, 'claims'],
  ['anybody who may act', { may_act: {} }, 'claims'],
  ['one who may act by more than its name', { may_act: { sub: 'b', iss: 'x' } }, 'claims'],
  ['one who may act without a name', { may_act: { sub: '' } }, 'claims'],
  ['no key', { cnf: undefined }, 'claims'],
  ['two keys', { cnf: { jkt: THUMBPRINT, 'x5t#S256': THUMBPRINT } }, 'claims'],
  ['a key that is none', { cnf: { jkt: 'x' } }, 'claims'],
  ['no ceiling', { authorization_details: undefined }, 'claims'],
  ['an empty ceiling', { authorization_details: [] }, 'claims'],
  [
    'a ceiling with a pattern',
    { authorization_details: [{ ...element, identifiers: ['*'] }] },
    'claims',
  ],
  [
    'an action in place of a ceiling',
    { authorization_details: [{ ...element, type: 'mcp_action' }] },
    'claims',
  ],
  ['no links', { via: undefined }, 'claims'],
  ['links that are no list', { via: 'sid-a' }, 'claims'],
  ['a link that is no text', { via: ['sid-a', 1] }, 'claims'],
  ['more links than there can be', { via: Array(25).fill('x') }, 'claims'],
  ['no session', { sid: undefined }, 'claims'],
  ['no name of its own', { jti: undefined }, 'claims'],
  ['a task that is no text', { txn: 1 }, 'claims'],
  ['no beginning', { iat: undefined }, 'claims'],
  ['no end', { exp: undefined }, 'claims'],
  ['an end that is no number', { exp: '9' }, 'claims'],
  ['a beginning between two seconds', { iat: CLAIMS.iat + 0.5 }, 'claims'],
  ['an end between two seconds', { exp: CLAIMS.exp - 0.5 }, 'claims'],
  ['a life over an hour', { exp: NOW + 3601 }, 'claims'],
  ['an end before its beginning', { exp: NOW - 1 }, 'claims'],
  ['a beginning to come', { iat: NOW + 60 }, 'expiry'],
  ['an end that has come', { iat: NOW - 10, exp: NOW + 1 }, 'expiry'],
]

for (const [what, change, check] of CHANGED) {
  test(`${what}, though signed by the broker, is refused: ${check}`, () => {
    assert.throws(() => verify(signed({ ...CLAIMS, ...change })), refusedFor(check))
  })
}

const HEADERS: readonly (readonly [string, string, string])[] = [
  ['an access token', mintToken(CLAIMS as never, key), 'typ'],
  ['a header without a type', signed(CLAIMS, {}), 'typ'],
  ['the type in capitals', signed(CLAIMS, { typ: DELEGATION_TYP.toUpperCase() }), 'typ'],
  ['a key of its own', signed(CLAIMS, { typ: DELEGATION_TYP, jwk: key.publicJwk }), 'form'],
  [
    'an algorithm that no access token has',
    `${encodeHeader({ typ: DELEGATION_TYP }, { kid: 'k1', algorithm: 'ES384' })}.e30.AA`,
    'algorithm',
  ],
  ['an unknown key', signed(CLAIMS, undefined, signingKey('k2')), 'key'],
  ['another key under a known name', signed(CLAIMS, undefined, signingKey('k1')), 'signature'],
  ['too long a text', `${mintDelegation(CLAIMS, key)}${'A'.repeat(MAX_DELEGATION_BYTES)}`, 'form'],
]

for (const [what, text, check] of HEADERS) {
  test(`${what} is refused: ${check}`, () => {
    assert.throws(() => verify(text), refusedFor(check))
  })
}

test('a clock that is no number refuses', () => {
  assert.throws(() => verify(mintDelegation(CLAIMS, key), Number.NaN), refusedFor('expiry'))
})

test('no text is taken for a delegation token, and none breaks anything', () => {
  const token = mintDelegation(CLAIMS, key)
  fc.assert(
    fc.property(
      fc.string(),
      fc.nat(token.length - 1),
      fc.string({ minLength: 1, maxLength: 1 }),
      (text, at, char) => {
        isDelegationToken(text)
        assert.throws(() => verify(text), Refusal)
        const changed = `${token.slice(0, at)}${char}${token.slice(at + 1)}`
        if (changed !== token) assert.throws(() => verify(changed), Refusal)
      },
    ),
  )
})
