// Any combination of right, wrong and absent proofs: a token exactly where the rules allow one, and then
// for exactly whom they say.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, test } from 'node:test'
import fc from 'fast-check'
import type { JsonObject } from '../../src/lib/json.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import { signTexts } from '../identity/svids.ts'
import { jwksKey } from '../identity/tokens.ts'
import { testClient } from '../server/fixture.ts'
import { type Ask, ask, DELEGATION, delegation, type Fields, forms, JWT, target } from './ask.ts'
import { ALICE } from './issuers.ts'
import {
  A,
  type Agent,
  B,
  type Combination,
  combination,
  expected,
  type KeyName,
  type Proof,
  type Subject,
} from './proofs.ts'
import { startWorld } from './world.ts'

const RUNS = 600
const world = await startWorld({ after })
const form = forms(world)
const own = generateSenderKey()
const other = generateSenderKey()
const impostor = testClient('bot-client', {})
const stranger = jwksKey('ES256', 'idp-1')

const pathOf = (id: Agent) => new URL(id).pathname
const svidOf = (id: Agent, forged = false) =>
  world.corp.svid(pathOf(id), forged ? { key: world.other.key } : {})
const certificates = new Map(
  [A, B].flatMap((id) =>
    [false, true].map((forged) => {
      const by = forged ? { by: world.other.authority } : {}
      return [`${id} ${forged}`, world.corp.certificate(pathOf(id as Agent), by)] as const
    }),
  ),
)
const certificateOf = ({ id, forged }: { id: Agent; forged: boolean }) =>
  certificates.get(`${id} ${forged}`)!
const thumbprintOf = (one: { id: Agent; forged: boolean }) =>
  certificateThumbprint(new X509Certificate(certificateOf(one).cert).raw)

const delegations = new Map<string, string>()
for (const [to, key] of [A, B].flatMap((id) => [own, other].map((key) => [id, key] as const))) {
  const name = `${to} ${key === own ? 'dpop' : 'other'}`
  delegations.set(name, await delegation(world, form.exchange(svidOf(A)), to, key))
}
const accessToken = String(
  (await ask(world, { fields: form.exchange(svidOf(A)) })).body.access_token,
)

function cnfOf(name: KeyName, { certificate }: Combination): JsonObject {
  if (name === 'dpop') return { jkt: own.jkt }
  if (name === 'x5t' && certificate) return { 'x5t#S256': thumbprintOf(certificate) }
  return { jkt: other.jkt }
}

function userToken(subject: Extract<Subject, { is: 'user' }>, all: Combination): string {
  const { mayAct, act, client, cnf, forged } = subject
  const claims = {
    ...(mayAct && { may_act: { sub: mayAct } }),
    ...(act && { act: { sub: act } }),
    ...(cnf && { cnf: cnfOf(cnf, all) }),
  }
  const text = client === undefined ? world.idToken({ claims }) : world.idJag(client, { claims })
  if (!forged) return text
  const [header, payload] = text.split('.').map((part) => Buffer.from(part, 'base64url').toString())
  return signTexts(header!, payload!, stranger)
}

const TYPE = 'urn:ietf:params:oauth:token-type:'
/** The text, the type it is of, and one it is not of. */
function subjectOf(all: Combination): readonly [string, string, string] {
  const { subject } = all
  switch (subject.is) {
    case 'none':
      return ['', JWT, JWT]
    case 'workload':
      return [svidOf(subject.id, subject.forged), JWT, `${TYPE}id_token`]
    case 'user': {
      const right = subject.client === undefined ? 'id_token' : 'id-jag'
      return [userToken(subject, all), TYPE + right, `${TYPE}access_token`]
    }
    case 'delegation':
      return [delegations.get(`${subject.to} ${subject.key}`)!, DELEGATION, `${TYPE}access_token`]
    case 'access token':
      return [accessToken, `${TYPE}access_token`, DELEGATION]
  }
}

function tokenOf(proof: Proof): string {
  if (proof.is === 'svid') return svidOf(proof.id, proof.forged)
  return proof.is === 'user' ? world.idToken() : delegations.get(`${A} dpop`)!
}

function askOf(all: Combination): Ask {
  const { door, declared, actor, client, certificate, clientId, dpop, asks } = all
  const [token, right, wrong] = subjectOf(all)
  const type = declared === 'jwt' ? JWT : declared === 'right' ? right : wrong
  const start: Fields =
    door === 'token-exchange'
      ? form.exchange(token, {}, type)
      : door === 'jwt-bearer'
        ? form.bearer(token)
        : { ...form.alone(), ...(token === '' ? {} : { subject_token: token }) }
  const asked =
    asks === 'other tool'
      ? target(world, 'hello', 'drop')
      : target(world, asks === 'forbidden' ? 'forbidden' : 'hello')
  const authentication =
    client === undefined
      ? {}
      : client.is === 'key'
        ? form.keyed(...(client.forged ? [impostor] : []))
        : form.spiffe(tokenOf(client))
  const fields = {
    ...start,
    ...asked,
    ...(actor && form.actor(tokenOf(actor))),
    ...authentication,
    ...(clientId && { client_id: clientId }),
  }
  return {
    fields,
    key: dpop ? own : null,
    ...(certificate && { by: certificateOf(certificate) }),
  }
}

function actorsIn(act: unknown): unknown[] {
  if (act === undefined) return []
  const { sub, act: before } = act as JsonObject
  return [sub, ...actorsIn(before)]
}

test('any combination of proofs gets what the rules say, and nothing else', async (t) => {
  const counts = { granted: 0, refused: 0 }
  const kinds = new Set<string>()
  await fc.assert(
    fc.asyncProperty(combination, async (all) => {
      const rule = expected(all)
      const { status, body, claims } = await ask(world, askOf(all))
      assert.ok(status < 500, JSON.stringify(body))
      assert.equal(status === 200, rule !== undefined, JSON.stringify(body))
      counts[rule === undefined ? 'refused' : 'granted'] += 1
      if (rule === undefined) return
      kinds.add([all.door, all.subject.is, rule.key, rule.actors.length].join(' '))
      const { principal, workload, actors, key } = rule
      const sub = { self: workload, user: ALICE, delegator: A }[principal]
      const cnf = key === 'dpop' ? { jkt: own.jkt } : { 'x5t#S256': thumbprintOf(all.certificate!) }
      assert.deepEqual(
        [claims.sub, claims.client_id, actorsIn(claims.act), claims.cnf],
        [sub, workload, actors, cnf],
      )
    }),
    { numRuns: RUNS },
  )
  t.diagnostic(`${counts.granted} granted in ${kinds.size} ways, ${counts.refused} refused`)
  assert.ok(counts.granted > RUNS / 50 && counts.refused > RUNS / 10)
})
