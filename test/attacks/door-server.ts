/** Attacks at an MCP server behind a gate: tokens and proofs; the messages are in `door-message.ts`. */
import { createPublicKey, type JsonWebKey } from 'node:crypto'
import type { JsonObject } from '../../src/lib/json.ts'
import { messageRows } from './door-message.ts'
import { type Attack, hs256, type Scene, strangerKey, unsigned } from './door-scene.ts'
import { claimsOf, newKey, proofFor, seconds } from './sender.ts'
import { RESOURCE } from './site.ts'

type Refused = Attack['refused']

const TOKEN = (check: string): Refused => [401, 'token_invalid', { check }]
const PROOF = (check: string): Refused => [401, 'proof_invalid', { check }]
const OTHER = (part: string): Refused => [403, 'action_mismatch', { part }]

const kid = ({ brokerJwk }: Scene) => String(brokerJwk.kid)

function pem({ brokerJwk }: Scene): string {
  const key = createPublicKey({ key: brokerJwk as JsonWebKey, format: 'jwk' })
  return String(key.export({ format: 'pem', type: 'spki' }))
}

const now = () => Math.floor(seconds())

const rows: readonly [title: string, attack: Attack['attack'], refused: Refused][] = [
  // The token.
  [
    'a token signed with HMAC, the broker’s public key as the secret',
    (s) => {
      const claims = claimsOf(s.issued.token)
      return s.call({ token: hs256({ typ: 'at+jwt', kid: kid(s) }, claims, pem(s)) })
    },
    TOKEN('algorithm'),
  ],
  [
    'a token that is not signed',
    (s) => s.call({ token: unsigned({ typ: 'at+jwt', kid: kid(s) }, claimsOf(s.issued.token)) }),
    TOKEN('algorithm'),
  ],
  [
    'a token that says ES256 and is not signed',
    (s) => {
      const header = { typ: 'at+jwt', kid: kid(s) }
      return s.call({ token: unsigned(header, claimsOf(s.issued.token), 'ES256') })
    },
    TOKEN('signature'),
  ],
  [
    'a token whose claims were changed',
    (s) => {
      const [head, , signature] = s.issued.token.split('.')
      const claims = { ...claimsOf(s.issued.token), sub: 'spiffe://corp.test/root' }
      const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
      return s.call({ token: `${head}.${payload}.${signature}` })
    },
    TOKEN('signature'),
  ],
  [
    'a token of a stranger under the broker’s key id',
    (s) => s.call({ token: s.mint({}, strangerKey(kid(s))) }),
    TOKEN('signature'),
  ],
  [
    'a token of a stranger',
    (s) => s.call({ token: s.mint({}, strangerKey('stranger')) }),
    TOKEN('key'),
  ],
  [
    'a DPoP proof as the token',
    (s) => s.call({ token: proofFor(s.issued.key, RESOURCE) }),
    TOKEN('typ'),
  ],
  ['an SVID as the token', (s) => s.call({ token: s.svid }), TOKEN('typ')],
  [
    'a text of the revocation feed as the token',
    (s) => s.call({ token: s.feedText }),
    TOKEN('typ'),
  ],
  [
    'a token for another server',
    (s) => s.call({ token: s.elsewhere.token, key: s.elsewhere.key }),
    TOKEN('audience'),
  ],
  [
    'a token for two servers',
    (s) => s.call({ token: s.mint({ aud: [RESOURCE, 'https://other.test/mcp'] }) }),
    TOKEN('claims'),
  ],
  [
    'a token of another issuer',
    (s) => s.call({ token: s.mint({ iss: 'https://evil.test' }) }),
    TOKEN('issuer'),
  ],
  [
    'an expired token',
    (s) => s.call({ token: s.mint({ iat: now() - 100, exp: now() - 40 }) }),
    [401, 'token_expired'],
  ],
  [
    'a token for longer than any may live',
    (s) => s.call({ token: s.mint({ exp: now() + 3600 }) }),
    TOKEN('lifetime'),
  ],
  [
    'a token from the future',
    (s) => s.call({ token: s.mint({ iat: now() + 120, exp: now() + 180 }) }),
    TOKEN('lifetime'),
  ],
  [
    'a token bound to no key',
    (s) => s.call({ token: s.mint({ cnf: undefined as never }) }),
    [401, 'token_unbound'],
  ],
  [
    'a token of both kinds',
    (s) => s.call({ token: s.mint({ scope: 'mcp:action mcp:session' }) }),
    TOKEN('claims'),
  ],
  [
    'a grant with a member nobody knows',
    (s) => {
      const [granted] = claimsOf(s.issued.token).authorization_details as [JsonObject]
      return s.call({ token: s.mint({ authorization_details: [{ ...granted, any: true }] }) })
    },
    OTHER('element'),
  ],
  ['no token', (s) => s.call({ without: ['authorization'] }), [401, 'token_missing']],
  [
    'two Authorization fields',
    (s) => s.call({ headers: [['Authorization', `DPoP ${s.issued.token}`]] }),
    TOKEN('count'),
  ],
  [
    'two tokens in one field',
    (s) => s.call({ scheme: `DPoP ${s.issued.token}, DPoP` }),
    TOKEN('form'),
  ],
  [
    'the token in the query',
    (s) => s.call({ without: ['authorization'], target: `/mcp?access_token=${s.issued.token}` }),
    [401, 'token_missing'],
  ],
  ['a bound token sent as Bearer', (s) => s.call({ scheme: 'Bearer' }), [401, 'token_unbound']],
  [
    'a token that is 20 KiB long',
    (s) => s.call({ token: `${s.issued.token}${'x'.repeat(13_000)}` }),
    TOKEN('form'),
  ],

  // The proof.
  ['no proof', (s) => s.call({ proofs: [] }), [401, 'binding_missing']],
  [
    'two proofs',
    (s) => {
      const { token, key } = s.issued
      const proof = () => proofFor(key, RESOURCE, { accessToken: token })
      return s.call({ proofs: [proof(), proof()] })
    },
    PROOF('count'),
  ],
  [
    'the token in the place of the proof',
    (s) => s.call({ proofs: [s.issued.token] }),
    PROOF('typ'),
  ],
  [
    'a proof that is not signed',
    (s) => {
      const header = { typ: 'dpop+jwt', jwk: s.issued.key.publicJwk }
      const claims = { jti: 'unsigned', htm: 'POST', htu: RESOURCE, iat: now() }
      return s.call({ proofs: [unsigned(header, claims)] })
    },
    PROOF('algorithm'),
  ],
  ['a proof of another key', (s) => s.call({ key: newKey() }), [401, 'key_mismatch']],
  [
    'a proof for another host',
    (s) => s.call({ claims: { url: 'https://evil.test/mcp' } }),
    PROOF('url'),
  ],
  ['a proof for another method', (s) => s.call({ claims: { method: 'GET' } }), PROOF('method')],
  [
    'a proof for another token',
    (s) => s.call({ claims: { accessToken: s.session.token } }),
    PROOF('token_hash'),
  ],
  ['a proof of two minutes ago', (s) => s.call({ claims: { now: seconds() - 120 } }), PROOF('age')],
]

export const serverAttacks: readonly Attack[] = [...rows, ...messageRows].map(
  ([title, attack, refused]) => ({
    door: 'verifier',
    title,
    attack,
    refused,
  }),
)
