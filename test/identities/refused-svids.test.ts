// SVIDs of both kinds that prove nothing, at a whole broker with two trust domains.
import { after } from 'node:test'
import { makeKey } from '../identity/svids.ts'
import { altName, basicConstraints, ID, keyUsage, uri } from '../identity/x509-maker.ts'
import type { Identity } from '../server/tls.ts'
import { type Ask, type Fields, forms } from './ask.ts'
import { authorityEntry, identityBy, type TestDomain } from './domain.ts'
import { type Fault, refuses } from './refuses.ts'
import { AGENT, AGENT_PATH, startWorld } from './world.ts'

const world = await startWorld({ after })

const corp = () => world.corp
const other = () => world.other
const exchange = (token: string, more: Fields = {}): Ask => ({
  fields: forms(world).exchange(token, more),
})
/** With nothing but a certificate. */
const certified = (by: Identity, id = AGENT): Ask => ({
  fields: forms(world).alone({ client_id: id }),
  key: null,
  by,
})
const invalid = (check: string) => ['identity_invalid', { check }] as const

const OTHER_AUDIENCE = 'https://another.test'
const edKey = makeKey('EdDSA', 'corp-ed')

async function publish(domain: TestDomain, keys: readonly object[]) {
  await domain.publish(keys)
  await world.running.reload()
}
const withoutUse = ({ use: _, ...entry }: Record<string, unknown>) => entry

const jwtSvids: Fault[] = [
  {
    title: 'a sub of one trust domain, signed by another with its own key id',
    make: (wrong) => exchange(corp().svid(AGENT_PATH, wrong ? { key: other().key } : {})),
    audit: invalid('key'),
  },
  {
    title: 'a sub of one trust domain, signed by another under the key id of the first',
    make: (wrong) => {
      const header = { kid: corp().key.kid }
      return exchange(corp().svid(AGENT_PATH, wrong ? { key: other().key, header } : { header }))
    },
    audit: invalid('signature'),
  },
  {
    title: 'a JWT-SVID for another audience',
    make: (wrong) =>
      exchange(corp().svid(AGENT_PATH, wrong ? { payload: { aud: OTHER_AUDIENCE } } : {})),
    audit: invalid('audience'),
  },
  {
    title: 'a JWT-SVID for the broker and another audience',
    make: (wrong) => {
      const aud = [world.issuer, ...(wrong ? [OTHER_AUDIENCE] : [])]
      return exchange(corp().svid(AGENT_PATH, { payload: { aud } }))
    },
    audit: invalid('audience'),
  },
  {
    title: 'an EdDSA JWT-SVID, by a key that is in the bundle',
    make: async (wrong) => {
      await publish(corp(), [authorityEntry(corp().authority), corp().key.jwk, edKey.jwk])
      return exchange(corp().svid(AGENT_PATH, wrong ? { key: edKey } : {}))
    },
    audit: invalid('algorithm'),
  },
  {
    title: 'an HS256 JWT-SVID, with the domain’s key as secret',
    make: (wrong) => {
      const { key, kid, jwk } = corp().key
      return exchange(
        corp().svid(AGENT_PATH, wrong ? { key: { alg: 'HS256', key, kid, jwk } } : {}),
      )
    },
    audit: invalid('algorithm'),
  },
  {
    title: 'an unsigned JWT-SVID',
    make: (wrong) => {
      const { key, kid, jwk } = corp().key
      return exchange(corp().svid(AGENT_PATH, wrong ? { key: { alg: 'none', key, kid, jwk } } : {}))
    },
    audit: invalid('algorithm'),
  },
  {
    title: 'a JWT-SVID of a trust domain that nobody trusts',
    make: (wrong) => {
      const sub = wrong ? 'spiffe://stranger.test/agents/bot' : AGENT
      return exchange(corp().svid(AGENT_PATH, { payload: { sub } }))
    },
    audit: ['identity_unknown_issuer', { issuer: 'stranger.test' }],
  },
]

const certificates: Fault[] = [
  {
    title: 'a certificate of one trust domain, by the authority of another on the same listener',
    make: (wrong) => certified(identityBy((wrong ? other() : corp()).authority, AGENT)),
    wire: 'invalid_client',
    audit: invalid('chain'),
  },
  {
    title: 'the same the other way round',
    make: (wrong) => {
      const id = `spiffe://other.test${AGENT_PATH}`
      return certified(identityBy((wrong ? corp() : other()).authority, id), id)
    },
    wire: 'invalid_client',
    audit: invalid('chain'),
  },
  {
    title: 'a certificate with two URI SANs',
    make: (wrong) => {
      const names = [uri(ID), ...(wrong ? [uri('spiffe://corp.test/agents/second')] : [])]
      const extensions = { subjectAltName: altName(names) }
      return certified(corp().certificate(AGENT_PATH, { extensions }))
    },
    wire: 'invalid_client',
    audit: invalid('uri_san'),
  },
  {
    title: 'a leaf that is a CA',
    make: (wrong) => {
      const extensions = { basicConstraints: basicConstraints(wrong) }
      return certified(corp().certificate(AGENT_PATH, { extensions }))
    },
    wire: 'invalid_client',
    audit: invalid('chain'),
  },
  {
    title: 'a leaf that may sign certificates',
    make: (wrong) => {
      const extensions = { keyUsage: keyUsage(wrong ? [0, 5] : [0]) }
      return certified(corp().certificate(AGENT_PATH, { extensions }))
    },
    wire: 'invalid_client',
    audit: invalid('key_usage'),
  },
  {
    title: 'a certificate without key usage',
    make: (wrong) =>
      certified(
        corp().certificate(AGENT_PATH, wrong ? { extensions: { keyUsage: undefined! } } : {}),
      ),
    wire: 'invalid_client',
    audit: invalid('key_usage'),
  },
]

/** What a bundle no longer says: the wrong one is published before the request, the right one after. */
const bundles: Fault[] = [
  {
    title: 'a JWT-SVID whose key is in the bundle without a use',
    make: async (wrong) => {
      const { key, authority } = other()
      const entry = wrong ? withoutUse(key.jwk) : key.jwk
      await publish(other(), [authorityEntry(authority), entry])
      return exchange(other().svid(AGENT_PATH))
    },
    audit: invalid('key'),
  },
  {
    title: 'a certificate whose authority is in the bundle without a use',
    make: async (wrong) => {
      const { key, authority } = other()
      const entry = authorityEntry(authority)
      await publish(other(), [wrong ? withoutUse(entry) : entry, key.jwk])
      const id = `spiffe://other.test${AGENT_PATH}`
      return certified(other().certificate(AGENT_PATH), id)
    },
    wire: 'invalid_client',
    audit: invalid('chain'),
  },
  {
    title: 'a JWT-SVID of a domain whose bundle was emptied',
    make: async (wrong) => {
      const { key, authority } = other()
      await publish(other(), wrong ? [] : [authorityEntry(authority), key.jwk])
      return exchange(other().svid(AGENT_PATH))
    },
    audit: invalid('key'),
  },
  {
    title: 'a certificate of a domain whose bundle was emptied',
    make: async (wrong) => {
      const { key, authority } = other()
      await publish(other(), wrong ? [] : [authorityEntry(authority), key.jwk])
      const id = `spiffe://other.test${AGENT_PATH}`
      return certified(other().certificate(AGENT_PATH), id)
    },
    wire: 'invalid_client',
    audit: invalid('chain'),
  },
]

/** Each of these with every further proof in order, and over each door that takes it. */
const doors: Fault[] = [
  {
    title: 'a forged JWT-SVID as assertion',
    make: (wrong) => ({
      fields: forms(world).bearer(corp().svid(AGENT_PATH, wrong ? { key: other().key } : {})),
    }),
    wire: 'invalid_grant',
    audit: invalid('key'),
  },
  {
    title: 'a forged JWT-SVID as client assertion',
    make: (wrong) => {
      const svid = corp().svid(AGENT_PATH, wrong ? { key: other().key } : {})
      return { fields: forms(world).alone(forms(world).spiffe(svid)) }
    },
    wire: 'invalid_client',
    audit: invalid('key'),
  },
  {
    title: 'a forged JWT-SVID as actor',
    make: (wrong) => {
      const svid = corp().svid(AGENT_PATH, wrong ? { key: other().key } : {})
      return exchange(world.idToken(), forms(world).actor(svid))
    },
    audit: invalid('key'),
  },
]

refuses(world, [...jwtSvids, ...certificates, ...bundles, ...doors])
