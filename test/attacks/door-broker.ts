/** Attacks at the token endpoint. */
import { createPublicKey, type JsonWebKey } from 'node:crypto'
import type { JsonObject } from '../../src/lib/json.ts'
import { signJws } from '../../src/token/jws.ts'
import {
  type Attack,
  detailFor,
  detailText,
  hs256,
  type Scene,
  strangerKey,
  unsigned,
} from './door-scene.ts'
import { newKey, proofFor, remember, seconds } from './sender.ts'

type Refused = Attack['refused']

const PROOF = (check: string): Refused => [400, 'proof_invalid', { check }]
const SVID = (check: string): Refused => [400, 'identity_invalid', { check }]
const DETAILS: Refused = [400, 'details_invalid']
const MALFORMED: Refused = [400, 'request_malformed']

const here = ({ site }: Scene) => `${site.issuer}/token`
const pem = (jwk: JsonObject) =>
  String(
    createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }).export({
      format: 'pem',
      type: 'spki',
    }),
  )

function proofClaims(scene: Scene): JsonObject {
  return { jti: 'forged-proof', htm: 'POST', htu: here(scene), iat: Math.floor(seconds()) }
}

function svidClaims({ site }: Scene): JsonObject {
  const exp = Math.floor(seconds()) + 60
  return { sub: 'spiffe://corp.test/agents/bots/a', aud: [site.issuer], exp }
}

const kidOf = (jws: string) =>
  String(JSON.parse(Buffer.from(jws.split('.')[0] ?? '', 'base64url').toString()).kid)

async function svidOf(domain: Scene['site']['foreign'], scene: Scene): Promise<string> {
  const asked = { path: '/agents/bots/a', audience: scene.site.issuer, lifetimeSeconds: 60 }
  return remember(await domain.issueJwtSvid({ ...asked, now: seconds() }))
}

/** The other domain signs for an agent of ours, under the kid it is told to write. */
async function acrossDomains(scene: Scene, kid?: string): Promise<string> {
  const { createPrivateKey } = await import('node:crypto')
  const { readFile } = await import('node:fs/promises')
  const { foreign } = scene.site
  const key = createPrivateKey(await readFile(`${foreign.directory}/jwt-svid.key`))
  const named = kid ?? kidOf(await svidOf(foreign, scene))
  const signer = { kid: named, algorithm: 'ES256', key, publicJwk: {} } as const
  return remember(signJws({ typ: 'JWT' }, svidClaims(scene), signer))
}

const rows: readonly [title: string, attack: Attack['attack'], refused: Refused][] = [
  // The proof of the key.
  [
    'a proof signed with HMAC, its public key as the secret',
    (s) => {
      const { publicJwk } = newKey()
      const header = { typ: 'dpop+jwt', jwk: publicJwk }
      return s.ask({ proof: hs256(header, proofClaims(s), pem(publicJwk)) })
    },
    PROOF('algorithm'),
  ],
  [
    'a proof with a symmetric key in its header',
    (s) => {
      const header = { typ: 'dpop+jwt', jwk: { kty: 'oct', k: 'c2VjcmV0' } }
      return s.ask({ proof: hs256(header, proofClaims(s), 'secret') })
    },
    PROOF('algorithm'),
  ],
  [
    'a proof that is not signed',
    (s) => s.ask({ proof: unsigned({ typ: 'dpop+jwt', jwk: newKey().publicJwk }, proofClaims(s)) }),
    PROOF('algorithm'),
  ],
  [
    'a proof that says ES256 and is not signed',
    (s) => {
      const header = { typ: 'dpop+jwt', jwk: newKey().publicJwk }
      return s.ask({ proof: unsigned(header, proofClaims(s), 'ES256') })
    },
    PROOF('signature'),
  ],
  [
    'a proof of somebody else’s key',
    (s) => {
      const signer = strangerKey('x')
      const header = { typ: 'dpop+jwt', jwk: newKey().publicJwk }
      return s.ask({ proof: remember(signJws(header, proofClaims(s), signer)) })
    },
    PROOF('signature'),
  ],
  ['an SVID in the place of the proof', (s) => s.ask({ proof: s.svid }), PROOF('typ')],
  ['a token in the place of the proof', (s) => s.ask({ proof: s.issued.token }), PROOF('typ')],
  [
    'two proofs',
    (s) => s.ask({ proofs: [proofFor(newKey(), here(s)), proofFor(newKey(), here(s))] }),
    PROOF('count'),
  ],
  [
    'two proofs in one field',
    (s) => s.ask({ proof: `${proofFor(newKey(), here(s))}, ${proofFor(newKey(), here(s))}` }),
    PROOF('count'),
  ],
  ['no proof', (s) => s.ask({ proofs: [] }), [400, 'binding_missing']],
  [
    'a proof for another host',
    (s) => s.ask({ proof: proofFor(newKey(), 'https://evil.test/token') }),
    PROOF('url'),
  ],
  [
    'a proof for another path',
    (s) => s.ask({ proof: proofFor(newKey(), `${s.site.issuer}/revoke`) }),
    PROOF('url'),
  ],
  [
    'a proof for another method',
    (s) => s.ask({ proof: proofFor(newKey(), here(s), { method: 'GET' }) }),
    PROOF('method'),
  ],
  [
    'a proof of two minutes ago',
    (s) => s.ask({ proof: proofFor(newKey(), here(s), { now: seconds() - 120 }) }),
    PROOF('age'),
  ],
  [
    'a proof from the future',
    (s) => s.ask({ proof: proofFor(newKey(), here(s), { now: seconds() + 120 }) }),
    PROOF('age'),
  ],
  [
    'a proof that was used before',
    (s) => s.ask({ proof: s.issued.proof }),
    [400, 'proof_replayed'],
  ],

  // Who is asking.
  [
    'an SVID signed with HMAC, the domain’s public key as the secret',
    async (s) => {
      const { readFile } = await import('node:fs/promises')
      const { keys } = JSON.parse(await readFile(s.site.domain.bundleFile, 'utf8'))
      const { kid, kty, crv, x, y } = keys.find(({ use }: JsonObject) => use === 'jwt-svid')
      return s.ask({ svid: hs256({ typ: 'JWT', kid }, svidClaims(s), pem({ kty, crv, x, y })) })
    },
    SVID('algorithm'),
  ],
  [
    'an SVID that is not signed',
    (s) => s.ask({ svid: unsigned({ typ: 'JWT', kid: kidOf(s.svid) }, svidClaims(s)) }),
    SVID('algorithm'),
  ],
  ['a token as the proof of identity', (s) => s.ask({ svid: s.issued.token }), SVID('typ')],
  [
    'a DPoP proof as the proof of identity',
    (s) => s.ask({ svid: proofFor(newKey(), here(s)) }),
    SVID('header'),
  ],
  ['a feed text as the proof of identity', (s) => s.ask({ svid: s.feedText }), SVID('typ')],
  [
    'a token called an access token',
    (s) =>
      s.ask({
        svid: s.issued.token,
        form: { subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' },
      }),
    SVID('typ'),
  ],
  [
    'an SVID that brings its own key',
    (s) => s.ask({ svid: s.makeSvid({}, { jwk: strangerKey('x').publicJwk }) }),
    SVID('header'),
  ],
  [
    'an SVID that says where its key is',
    (s) => s.ask({ svid: s.makeSvid({}, { jku: 'https://evil.test/jwks' }) }),
    SVID('header'),
  ],
  [
    'an SVID of our domain signed with another trusted domain’s key',
    async (s) => s.ask({ svid: await acrossDomains(s) }),
    SVID('key'),
  ],
  [
    'the same under the name of our domain’s key',
    async (s) => s.ask({ svid: await acrossDomains(s, kidOf(s.svid)) }),
    SVID('signature'),
  ],
  [
    'an agent of another trusted domain whom no policy names',
    async (s) => s.ask({ svid: await svidOf(s.site.foreign, s) }),
    [400, 'policy_denied'],
  ],
  [
    'an agent of a domain nobody trusts',
    (s) => s.ask({ svid: s.makeSvid({ sub: 'spiffe://evil.test/agents/bots/a' }) }),
    [400, 'identity_unknown_issuer', { issuer: 'evil.test' }],
  ],
  [
    'the id of the trust domain itself',
    (s) => s.ask({ svid: s.makeSvid({ sub: 'spiffe://corp.test' }) }),
    SVID('spiffe_id'),
  ],
  [
    'an id with steps in its path',
    (s) => s.ask({ svid: s.makeSvid({ sub: 'spiffe://corp.test/x/../agents/bots/a' }) }),
    SVID('spiffe_id'),
  ],
  [
    'an SVID for us and another',
    (s) => s.ask({ svid: s.makeSvid({ aud: [s.site.issuer, 'https://other.test'] }) }),
    SVID('audience'),
  ],
  [
    'an SVID for the token endpoint',
    (s) => s.ask({ svid: s.makeSvid({ aud: here(s) }) }),
    SVID('audience'),
  ],
  [
    'an expired SVID',
    (s) => s.ask({ svid: s.makeSvid({ exp: Math.floor(seconds()) - 1 }) }),
    SVID('expiry'),
  ],
  [
    'an SVID without an end',
    (s) => s.ask({ svid: s.makeSvid({ exp: undefined as never }) }),
    SVID('claims'),
  ],
  [
    'an SVID with an actor of no known type beside it',
    (s) => s.ask({ form: { actor_token: s.svid, actor_token_type: 'x' } }),
    SVID('token_type'),
  ],
  ['an actor without a type', (s) => s.ask({ form: { actor_token: s.svid } }), MALFORMED],

  // What is asked.
  [
    'an argument the pinned schema does not declare',
    (s) => s.ask({ details: [detailFor({ title: 'hello', bcc: 'evil@evil.test' })] }),
    [400, 'arguments_invalid'],
  ],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'].map(
    (name): (typeof rows)[number] => [
      `an argument named ${name}`,
      (s) => s.ask({ details: detailText(`{"title":"hello","${name}":{"admin":true}}`) }),
      [400, 'arguments_invalid'],
    ],
  ),
  [
    'an argument named __proto__ that should stand in for a missing one',
    (s) => s.ask({ details: detailText('{"__proto__":{"title":"hello"}}') }),
    [400, 'arguments_invalid'],
  ],
  [
    'an argument of two values',
    (s) => s.ask({ details: detailText('{"title":"hello","title":"evil"}') }),
    DETAILS,
  ],
  [
    'an integer that no double holds',
    (s) => s.ask({ details: detailText('{"title":"hello","count":9007199254740993}') }),
    DETAILS,
  ],
  ['half a surrogate pair', (s) => s.ask({ details: detailText('{"title":"\\ud800"}') }), DETAILS],
  ['a batch of actions', (s) => s.ask({ details: [detailFor({}), detailFor({})] }), DETAILS],
  [
    'an action at another server than the resource',
    (s) => s.ask({ form: { resource: 'https://other.test/mcp' } }),
    DETAILS,
  ],
  [
    'an action with a member nobody knows',
    (s) => s.ask({ details: [detailFor({ title: 'hello' }, { max_uses: 9 })] }),
    DETAILS,
  ],
  ['an element named __proto__', (s) => s.ask({ details: '[{"__proto__":{}}]' }), DETAILS],
  [
    'arguments of more than a mebibyte',
    (s) => s.ask({ details: [detailFor({ title: 'x'.repeat(1_100_000) })] }),
    DETAILS,
  ],
  [
    'a tool that is not pinned',
    (s) => s.ask({ details: [detailFor({ title: 'hello' }, { identifier: 'exec' })] }),
    [400, 'action_unknown'],
  ],
  [
    'a tool named __proto__',
    (s) => s.ask({ details: [detailFor({ title: 'hello' }, { identifier: '__proto__' })] }),
    [400, 'action_unknown'],
  ],
  [
    'a tool that no policy permits',
    (s) => s.ask({ details: [detailFor({}, { identifier: 'wipe' })] }),
    [400, 'policy_denied'],
  ],
  [
    'a server nobody configured',
    (s) => s.ask({ form: { resource: 'https://evil.test/mcp', authorization_details: undefined } }),
    [400, 'server_unknown'],
  ],

  // The request as such.
  [
    'a foreign Host',
    (s) => s.ask({ host: 'evil.test' }),
    [421, 'origin_refused', { header: 'host' }],
  ],
  [
    'a foreign Origin',
    (s) => s.ask({ headers: [['Origin', 'https://evil.test']] }),
    [403, 'origin_refused', { header: 'origin' }],
  ],
  [
    'client authentication that nobody checks',
    (s) => s.ask({ headers: [['Authorization', 'Basic YTpi']] }),
    [401, 'client_rejected'],
  ],
  [
    'two Authorization fields',
    (s) =>
      s.ask({
        headers: [
          ['Authorization', 'Basic YTpi'],
          ['Authorization', `DPoP ${s.issued.token}`],
        ],
      }),
    [401, 'client_rejected'],
  ],
  [
    'a parameter given twice',
    (s) => s.ask({ tail: '&resource=https%3A%2F%2Fevil.test' }),
    MALFORMED,
  ],
  [
    'the request in the query',
    (s) => s.ask({ target: `/token?subject_token=${s.svid}`, body: '' }),
    MALFORMED,
  ],
  [
    'a form that says it is JSON',
    (s) => s.ask({ without: ['content-type'], headers: [['Content-Type', 'application/json']] }),
    MALFORMED,
  ],
  ['a compressed body', (s) => s.ask({ headers: [['Content-Encoding', 'gzip']] }), MALFORMED],
  [
    'a grant that is not offered',
    (s) => s.ask({ form: { grant_type: 'password' } }),
    [400, 'grant_unsupported'],
  ],
  [
    'a body of more than the limit',
    (s) => s.ask({ body: `a=${'x'.repeat(1_600_000)}` }),
    [413, 'request_too_large'],
  ],
]

export const brokerAttacks: readonly Attack[] = rows.map(([title, attack, refused]) => ({
  door: 'broker',
  title,
  attack,
  refused,
}))
