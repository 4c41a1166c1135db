// A token that says where its key is: refused, whatever kind of token it is, and nobody is asked.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { generateSenderKey, makeProof } from '../../src/token/proof.ts'
import { makeKey, signTexts } from '../identity/svids.ts'
import { type Ask, DELEGATION, delegation, forms } from './ask.ts'
import { seconds } from './domain.ts'
import { startTrap, watchConnections } from './outbound.ts'
import { assertGranted, assertRefused, type Fault, visit } from './refuses.ts'
import { AGENT, AGENT_PATH, admin, botClient, startWorld } from './world.ts'

const B = 'spiffe://corp.test/agents/b'
const world = await startWorld({ after })
const form = forms(world)
const trap = await startTrap({ after })
const connections = watchConnections({ after })
const attacker = makeKey('ES256', 'attacker')

type Header = Record<string, unknown>
const { use: _, ...attackerJwk } = attacker.jwk
const headers: Record<string, Header> = {
  jku: { jku: `https://127.0.0.1:${trap.port}/keys` },
  x5u: { x5u: `https://127.0.0.1:${trap.port}/chain` },
  x5c: { x5c: [world.corp.authority.der.toString('base64')] },
  jwk: { jwk: attackerJwk },
  crit: { crit: ['exp'] },
}

/** Signed anew with these header parameters besides its own, by the key that signed it before. */
function resign(text: string, header: Header, key: Parameters<typeof signTexts>[2]): string {
  const [head, payload] = text
    .split('.')
    .slice(0, 2)
    .map((part) => Buffer.from(part, 'base64url').toString())
  return signTexts(JSON.stringify({ ...JSON.parse(head!), ...header }), payload!, key)
}

interface Kind {
  readonly title: string
  /** With a key's place in the header of the one token that this is about. */
  readonly make: (header: Header) => Ask | Promise<Ask>
  readonly wire?: string
  readonly audit: Fault['audit']
  /** Parameters that belong there. */
  readonly mayHave?: readonly string[]
}

const asSubject = (token: string): Ask => ({ fields: form.exchange(token) })
const header = ['identity_invalid', { check: 'header' }] as const
const nextKey = generateSenderKey()
const proofKey = makeKey('ES256', 'proof')

const kinds: Kind[] = [
  {
    title: 'a JWT-SVID',
    make: (header) => asSubject(world.corp.svid(AGENT_PATH, { header })),
    audit: header,
  },
  {
    title: 'a JWT-SVID as client assertion',
    make: (header) => ({
      fields: form.alone(form.spiffe(world.corp.svid(AGENT_PATH, { header }))),
    }),
    wire: 'invalid_client',
    audit: header,
  },
  {
    title: 'a JWT-SVID as actor',
    make: (header) => ({
      fields: form.exchange(world.idToken(), form.actor(world.corp.svid(AGENT_PATH, { header }))),
    }),
    audit: header,
  },
  {
    title: 'a Kubernetes token',
    make: (header) => asSubject(world.podToken({ header })),
    audit: header,
  },
  { title: 'a CI token', make: (header) => asSubject(world.jobToken({ header })), audit: header },
  {
    title: 'a token of an issuer that nobody knows',
    make: (header) =>
      asSubject(
        Object.keys(header).length === 0
          ? world.jobToken()
          : world.jobToken({ header, claims: { iss: `https://127.0.0.1:${trap.port}` } }),
      ),
    audit: header,
  },
  ...(
    [
      ['an ID token', (header) => world.idToken({ header })],
      ['a user’s access token', (header) => world.accessToken({ header })],
      ['an ID-JAG', (header) => world.idJag(AGENT, { header })],
    ] satisfies [string, (header: Header) => string][]
  ).map(
    ([title, token]): Kind => ({
      title,
      make: (header) => ({ fields: form.exchange(token(header), form.actor()) }),
      audit: header,
    }),
  ),
  {
    title: 'a delegation token',
    make: async (header) => {
      const token = await delegation(world, form.exchange(world.corp.svid(AGENT_PATH)), B, nextKey)
      // Nobody but the broker can sign one; the header is looked at before the signature.
      const forged = Object.keys(header).length === 0 ? token : resign(token, header, attacker)
      const actor = form.actor(world.corp.svid('/agents/b'))
      return { fields: form.exchange(forged, actor, DELEGATION), key: nextKey }
    },
    audit: ['identity_invalid', { check: 'form' }],
  },
  {
    title: 'the assertion of a registered client',
    make: (header) => {
      const { client_assertion: text, ...rest } = form.keyed()
      const { kid, privateKey: key } = botClient
      const client_assertion = resign(text!, header, { alg: 'ES256', kid, key, jwk: {} })
      return { fields: form.alone({ ...rest, client_assertion }) }
    },
    wire: 'invalid_client',
    audit: ['client_rejected', { detail: 'assertion form' }],
  },
  {
    title: 'a DPoP proof',
    make: (header) => {
      const { key, jwk } = proofKey
      const { kty, crv, x, y } = jwk
      const htu = `${world.issuer}/token`
      const claims = { jti: crypto.randomUUID(), htm: 'POST', htu, iat: Math.floor(seconds()) }
      const all = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y }, ...header }
      const proof = signTexts(JSON.stringify(all), JSON.stringify(claims), {
        ...proofKey,
        key,
      })
      return { ...asSubject(world.corp.svid(AGENT_PATH)), proof }
    },
    wire: 'invalid_dpop_proof',
    audit: ['proof_invalid', { check: 'form' }],
    mayHave: ['jwk'],
  },
]

const ours = () => [world.issuer, world.mtlsUrl].map((url) => Number(new URL(url).port))

for (const { title, make, mayHave = [], ...fault } of kinds) {
  test(`${title} with jku, x5u, x5c, jwk or crit is refused, and nobody is called`, async () => {
    await assertGranted(world, await make({}))
    for (const [name, header] of Object.entries(headers)) {
      if (mayHave.includes(name)) continue
      const asked = await make(header)
      connections.taken()
      const reviews = world.api.seen.requests.length
      await assert.doesNotReject(assertRefused(world, asked, fault), name)
      const called = connections.taken().filter((port) => !ours().includes(port))
      assert.deepEqual(called, [], name)
      // Over a connection that was open already.
      assert.equal(world.api.seen.requests.length, reviews, name)
    }
    assert.equal(trap.calls(), 0)
  })
}

test('a connection would have been seen', async () => {
  // What the broker does by its configuration: it asks the cluster about a pod.
  const reviews = world.api.seen.requests.length
  await assertGranted(world, asSubject(world.podToken()))
  assert.equal(world.api.seen.requests.length, reviews + 1)
  connections.taken()
  const socket = connect(trap.port, '127.0.0.1')
  await new Promise((resolve) => socket.once('close', resolve))
  assert.deepEqual(connections.taken(), [trap.port])
  assert.equal(trap.calls(), 1)
})

test('the key in the header of a proof is the one that counts', async () => {
  const key = generateSenderKey()
  const proof = makeProof(key, { method: 'POST', url: `${world.issuer}/token`, now: seconds() })
  const { claims } = await assertGranted(world, {
    ...asSubject(world.corp.svid(AGENT_PATH)),
    proof,
  })
  assert.deepEqual(claims.cnf, { jkt: key.jkt })
})

test('nor does an assertion for a token of the broker’s own doors say where its key is', async () => {
  const { kid, privateKey: key } = admin
  const asked = (header: Header): Ask => {
    const { client_assertion: text, ...rest } = form.keyed(admin)
    const client_assertion = resign(text!, header, { alg: 'ES256', kid, key, jwk: {} })
    return { fields: { grant_type: 'client_credentials', ...rest, client_assertion } }
  }
  const granted = await visit(world, asked({}))
  assert.equal(granted.status, 200)
  for (const [name, header] of Object.entries(headers)) {
    const { status, body, records } = await visit(world, asked(header))
    assert.deepEqual(
      [status, body.error, records[0]?.reason],
      [401, 'invalid_client', 'client_rejected'],
      name,
    )
  }
  assert.deepEqual(trap.calls(), 1)
})
