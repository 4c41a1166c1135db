// Tokens of issuers, users and the broker itself that prove nothing, and acting that is not allowed.
import { after } from 'node:test'
import { generateSenderKey } from '../../src/token/proof.ts'
import { testClient } from '../server/fixture.ts'
import { type Ask, ask, DELEGATION, delegation, type Fields, forms } from './ask.ts'
import { DESKTOP } from './issuers.ts'
import { type Fault, refuses } from './refuses.ts'
import { AGENT, startWorld } from './world.ts'

const B = 'spiffe://corp.test/agents/b'
const C = 'spiffe://corp.test/agents/c'
const world = await startWorld({ after })
const form = forms(world)
const svidOf = (id: string) => world.corp.svid(new URL(id).pathname)
const exchange = (token: string, more: Fields = {}, type?: string): Ask => ({
  fields: form.exchange(token, more, type),
})
const forAlice = (token: string, actor = AGENT): Ask => exchange(token, form.actor(svidOf(actor)))
const invalid = (check: string) => ['identity_invalid', { check }] as const
const refused = (check: string) => ['delegation_refused', { check }] as const

const issuers: Fault[] = [
  {
    title: 'a Kubernetes token for another audience',
    make: (wrong) =>
      exchange(
        world.podToken(wrong ? { claims: { aud: ['https://kubernetes.default.svc'] } } : {}),
      ),
    audit: invalid('audience'),
  },
  {
    title: 'a Kubernetes token for the broker and another audience',
    make: (wrong) =>
      exchange(world.podToken({ claims: { aud: [world.issuer, ...(wrong ? ['another'] : [])] } })),
    audit: invalid('audience'),
  },
  {
    title: 'a Kubernetes token of a pod that was deleted',
    make: (wrong) => {
      if (wrong) world.pods.delete('pod-7')
      else world.pods.add('pod-7')
      return exchange(world.podToken())
    },
    audit: invalid('active'),
  },
  {
    title: 'a CI token of an issuer that nobody configured',
    make: (wrong) =>
      exchange(world.jobToken(wrong ? { claims: { iss: 'https://ci.evil.test' } } : {})),
    audit: ['identity_unknown_issuer', { issuer: 'https://ci.evil.test' }],
  },
  {
    title: 'a CI token that says it is a SPIFFE workload',
    make: (wrong) => exchange(world.jobToken(wrong ? { claims: { sub: AGENT } } : {})),
    audit: invalid('key'),
  },
]

const users: Fault[] = [
  {
    title: 'an ID token for an audience that is neither the broker nor a configured client',
    make: (wrong) =>
      forAlice(world.idToken({ claims: { aud: wrong ? 'another-app' : world.issuer } })),
    audit: invalid('audience'),
  },
  {
    title: 'an access token for such an audience',
    make: (wrong) =>
      forAlice(world.accessToken({ claims: { aud: wrong ? 'another-app' : DESKTOP } })),
    audit: invalid('audience'),
  },
  {
    title: 'an ID token for several audiences that was issued to another',
    make: (wrong) => {
      const aud = [world.issuer, 'another-app']
      return forAlice(world.idToken({ claims: { aud, azp: wrong ? 'another-app' : world.issuer } }))
    },
    audit: invalid('audience'),
  },
  {
    title: 'a user’s token without a proof of who acts',
    make: (wrong) => exchange(world.idToken(), wrong ? {} : form.actor()),
    audit: ['identity_missing', {}],
  },
  {
    title: 'an ID-JAG of another client',
    make: (wrong) => forAlice(world.idJag(wrong ? B : AGENT)),
    audit: refused('client'),
  },
  {
    title: 'an ID-JAG of another client as assertion',
    make: (wrong) => ({
      fields: form.bearer(world.idJag(wrong ? B : AGENT), form.spiffe(svidOf(AGENT))),
    }),
    wire: 'invalid_grant',
    audit: refused('client'),
  },
  {
    title: 'an ID-JAG for another resource',
    make: (wrong) => {
      const resource = wrong ? 'https://other.example/mcp' : world.resources[0]
      return forAlice(world.idJag(AGENT, { claims: { resource } }))
    },
    audit: refused('resource'),
  },
  {
    title: 'a user’s token with may_act for another workload',
    make: (wrong) => forAlice(world.idToken({ claims: { may_act: { sub: wrong ? B : AGENT } } })),
    audit: refused('may_act'),
  },
  {
    title: 'a user’s token with act of another workload',
    make: (wrong) => forAlice(world.idToken({ claims: { act: { sub: wrong ? B : AGENT } } })),
    audit: refused('actor'),
  },
  {
    title: 'a user’s token with may_act and act, where the actor is the one of act',
    make: (wrong) => {
      const claims = { may_act: { sub: B }, act: { sub: AGENT } }
      return forAlice(world.idToken({ claims }), wrong ? AGENT : B)
    },
    audit: refused('may_act'),
  },
  {
    title: 'a user’s token as actor',
    make: (wrong) => exchange(world.idToken(), form.actor(wrong ? world.idToken() : svidOf(AGENT))),
    audit: refused('actor'),
  },
]

const keys = { own: generateSenderKey(), b: generateSenderKey(), stranger: generateSenderKey() }
const bound = (key: typeof keys.own) => ({ claims: { cnf: { jkt: key.jkt } } })
/** A's token handed on to `to`; made for each case. */
const handedOn = (to = B, key = keys.b) => delegation(world, form.exchange(svidOf(AGENT)), to, key)
const under = (token: string, actor: Fields): Fields => form.exchange(token, actor, DELEGATION)

const delegations: Fault[] = [
  {
    title: 'a user’s token that is bound to another key',
    make: (wrong) => ({
      ...forAlice(world.idToken(bound(wrong ? keys.stranger : keys.own))),
      key: keys.own,
    }),
    audit: refused('key'),
  },
  {
    title: 'a delegation token with another key',
    make: async (wrong) => ({
      fields: under(await handedOn(), form.actor(svidOf(B))),
      key: wrong ? keys.stranger : keys.b,
    }),
    audit: refused('key'),
  },
  {
    title: 'a delegation token by a third agent',
    make: async (wrong) => ({
      fields: under(await handedOn(), form.actor(svidOf(wrong ? C : B))),
      key: keys.b,
    }),
    audit: refused('may_act'),
  },
  {
    title: 'a delegation token by the agent that handed it on',
    make: async (wrong) => ({
      fields: under(await handedOn(), form.actor(svidOf(wrong ? AGENT : B))),
      key: keys.b,
    }),
    audit: refused('may_act'),
  },
  {
    title: 'a delegation token without a proof of who uses it',
    make: async (wrong) => ({
      fields: under(await handedOn(), wrong ? {} : form.actor(svidOf(B))),
      key: keys.b,
    }),
    audit: ['identity_missing', {}],
  },
  {
    title: 'subject and actor from different delegations',
    make: async (wrong) => ({
      fields: under(
        await handedOn(),
        form.actor(wrong ? await handedOn(C, keys.stranger) : svidOf(B)),
      ),
      key: keys.b,
    }),
    audit: refused('actor'),
  },
  {
    title: 'the delegation of one agent with the identity of an agent that has another',
    make: async (wrong) => {
      const [ofB, ofC] = [await handedOn(B, keys.b), await handedOn(C, keys.b)]
      return { fields: under(wrong ? ofC : ofB, form.actor(svidOf(B))), key: keys.b }
    },
    audit: refused('may_act'),
  },
  {
    title: 'a delegation token as client assertion',
    make: async (wrong) => ({
      fields: form.exchange(world.idToken(), form.spiffe(wrong ? await handedOn() : svidOf(B))),
      key: keys.b,
    }),
    audit: refused('actor'),
  },
  {
    title: 'a delegation token in the name of a token of another kind',
    make: async (wrong) => {
      const type = `urn:ietf:params:oauth:token-type:${wrong ? 'access_token' : 'jwt'}`
      const fields = form.exchange(await handedOn(), form.actor(svidOf(B)), type)
      return { fields, key: keys.b }
    },
    audit: invalid('token_type'),
  },
  {
    title: 'a delegation token that somebody changed',
    make: async (wrong) => {
      const [header, payload, signature] = (await handedOn()).split('.')
      const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString())
      const text = JSON.stringify(wrong ? { ...claims, may_act: { sub: C } } : claims)
      const token = [header, Buffer.from(text).toString('base64url'), signature].join('.')
      return { fields: under(token, form.actor(svidOf(wrong ? C : B))), key: keys.b }
    },
    audit: invalid('signature'),
  },
  {
    title: 'one of the broker’s own action tokens as subject',
    make: async (wrong) => {
      const own = async () =>
        String((await ask(world, { ...exchange(svidOf(AGENT)), key: keys.own })).body.access_token)
      return { ...exchange(wrong ? await own() : svidOf(AGENT)), key: keys.own }
    },
    audit: invalid('typ'),
  },
  {
    title: 'one of the broker’s own session tokens as subject, with an actor',
    make: async (wrong) => {
      const { authorization_details: _, ...session } = form.exchange(svidOf(AGENT)) as Record<
        string,
        string
      >
      const { body } = await ask(world, { fields: session })
      return forAlice(wrong ? String(body.access_token) : world.idToken())
    },
    audit: invalid('typ'),
  },
]

/** Two proofs of one request, of two workloads. */
const conflict = (between: string) => ['identity_conflict', { between }] as const
const certified = (id: string) => ({ by: world.corp.certificate(new URL(id).pathname), key: null })
const conflicts: Fault[] = [
  {
    title: 'a JWT-SVID from a peer whose certificate names another workload',
    make: (wrong) => ({ ...exchange(svidOf(AGENT)), ...certified(wrong ? B : AGENT) }),
    audit: conflict('subject_token and certificate'),
  },
  {
    title: 'an actor whose certificate names another workload',
    make: (wrong) => ({ ...forAlice(world.idToken()), ...certified(wrong ? B : AGENT) }),
    audit: conflict('actor_token and certificate'),
  },
  {
    title: 'a client assertion from a peer whose certificate names another workload',
    make: (wrong) => ({
      fields: form.alone(form.spiffe(svidOf(AGENT))),
      ...certified(wrong ? B : AGENT),
    }),
    wire: 'invalid_client',
    audit: conflict('client authentication and certificate'),
  },
  {
    title: 'a workload’s token with another workload’s as actor',
    make: (wrong) => exchange(svidOf(AGENT), form.actor(svidOf(wrong ? B : AGENT))),
    audit: conflict('subject_token and actor_token'),
  },
  {
    title: 'a workload’s token with a registered client that is another',
    make: (wrong) => exchange(svidOf(wrong ? B : AGENT), form.keyed()),
    wire: 'invalid_client',
    audit: conflict('subject_token and client authentication'),
  },
  {
    title: 'a client that nobody registered',
    make: (wrong) => ({
      fields: form.alone(wrong ? form.keyed(testClient('bot-client', {})) : form.keyed()),
    }),
    wire: 'invalid_client',
    audit: ['client_rejected', { detail: 'signature' }],
  },
]

refuses(world, [...issuers, ...users, ...delegations, ...conflicts])
