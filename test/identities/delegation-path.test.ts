// Work that goes from a user to agent A, to agent B, to agent C and to an MCP server, with real agents; who
// did it is on record in every place, and whoever on the way is stopped, C is stopped.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createAgent, type OnBehalfOf, WritError } from '../../src/agent/index.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { TargetKind } from '../../src/revocation/target.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import { CLIENTS } from '../matrix/clients.ts'
import { reserve, serveV2, startServer } from '../matrix/servers.ts'
import { ask, DELEGATION, forms, JWT } from './ask.ts'
import { callTool } from './mcp.ts'
import { startWorld } from './world.ts'

const place = await reserve()
const world = await startWorld({ after }, { resources: [place.url] })
const server = await startServer(place, 'node', serveV2(), world.issuer)
after(() => server.close())
const form = forms(world)
const connectClient = CLIENTS['SDK v2, newer era']!

/** Each with an identity of another kind: an SVID, a CI token, an SVID of another trust domain. */
function makeChain(name: string) {
  const user = `user:corp:${name}`
  const ids = {
    a: `spiffe://corp.test/agents/a/${name}`,
    b: `oidc:ci:${name}`,
    c: `spiffe://other.test/agents/c/${name}`,
  }
  const idToken = world.idToken({ claims: { sub: name, may_act: { sub: ids.a } } })
  const identities = {
    a: () => world.corp.svid(`/agents/a/${name}`),
    b: () => world.jobToken({ claims: { sub: name } }),
    c: () => world.other.svid(`/agents/c/${name}`),
  }
  const agent = (who: keyof typeof ids, subject: OnBehalfOf, key = generateSenderKey()) =>
    createAgent({
      broker: world.issuer,
      identity: identities[who],
      onBehalfOf: () => subject,
      task: `${name}-of-${who}`,
      key,
    })
  return { user, ids, idToken, identities, agent }
}

const ceiling = (names: string[]) => [{ servers: [place.url], methods: ['tools/call'], names }]

/** The whole chain, ready to call. */
async function handOn(name: string) {
  const chain = makeChain(name)
  const { ids, idToken, agent, identities } = chain
  const keys = { b: generateSenderKey(), c: generateSenderKey() }
  const a = agent('a', { token: idToken, tokenType: 'id_token' })
  const first = await a.delegate({
    to: ids.b,
    key: keys.b.jkt,
    ceiling: ceiling(['add', 'drop']),
  })
  const b = agent('b', first, keys.b)
  const second = await b.delegate({ to: ids.c, key: keys.c.jkt, ceiling: ceiling(['add']) })
  const c = agent('c', second, keys.c)
  /** A token of C's that nobody has used yet. */
  const token = async () => {
    const actor = { actor_token: identities.c(), actor_token_type: JWT }
    const fields = form.exchange(second.token, actor, DELEGATION)
    const { status, body } = await ask(world, { fields, key: keys.c })
    assert.equal(status, 200, JSON.stringify(body))
    return String(body.access_token)
  }
  const show = (text: string) => callTool({ url: place.url }, { token: text, key: keys.c })
  return { ...chain, a, b, c, first, second, token, show }
}

const jtiOf = ({ token }: { token: string }) =>
  String(JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).jti)

/** The broker's records about one user's work, in the order of writing. */
const recordsFor = async (user: string) =>
  (await world.audited()).filter(({ principal, outcome }) => {
    return principal === user && outcome === 'issued'
  })

test('a tool runs for a user, three agents on; the trail tells the whole chain', async () => {
  const chain = await handOn('alice')
  const { user, ids, first, second, c } = chain
  const client = await connectClient(place.url, c.fetch)
  assert.match(await client.call('add', 'from afar'), new RegExp(`for ${ids.c}$`))
  await client.close()

  const records = await recordsFor(user)
  const handing = records.filter(({ kind }) => kind === 'delegation')
  assert.deepEqual(
    handing.map(({ workload, delegate, actors, jti }) => ({ workload, delegate, actors, jti })),
    [
      { workload: ids.a, delegate: ids.b, actors: [ids.a], jti: jtiOf(first) },
      { workload: ids.b, delegate: ids.c, actors: [ids.b, ids.a], jti: jtiOf(second) },
    ],
  )
  const [byA, byB] = handing
  const call = records.find(({ name }) => name === 'add')!
  assert.deepEqual([call.workload, call.actors], [ids.c, [ids.c, ids.b, ids.a]])
  // From the call back to whoever handed it on, and in that order.
  assert.deepEqual(call.links, [
    ...[byA!.session, byA!.key, jtiOf(first)],
    ...[byB!.session, byB!.key, jtiOf(second)],
  ])
  // One label ties everything together, from the first to the last.
  assert.deepEqual([...new Set(records.map(({ task }) => task))], ['alice-of-a'])

  // And what the MCP server's gate wrote is about the same token.
  const run = server.records.find(({ jti }) => jti === call.jti)!
  assert.deepEqual(
    [run.outcome, run.workload, run.principal, run.actors, run.links],
    ['allowed', ids.c, user, call.actors, call.links],
  )
  assert.deepEqual([run.task, run.session, run.key], [call.task, call.session, call.key])
})

test('nobody on the way gets more than was handed on', async () => {
  const { ids, b, c, first } = await handOn('bounded')
  const client = await connectClient(place.url, c.fetch)
  const refused = (error: unknown) => error instanceof WritError && error.code === 'token_refused'
  await assert.rejects(client.call('drop', 'x'), refused)
  await client.close()
  const wider = b.delegate({ to: ids.c, key: c.thumbprint, ceiling: ceiling(['add', 'confirm']) })
  await assert.rejects(wider, refused)
  const refusals = (await world.audited()).filter(({ outcome }) => outcome === 'refused').slice(-2)
  assert.deepEqual(
    refusals.map(({ reason, evidence }) => [reason, evidence]),
    [
      ['ceiling_exceeded', { part: 'identifier' }],
      ['ceiling_exceeded', { part: 'element' }],
    ],
  )
  assert.ok(first.expiresAt > 0)
})

type Chain = Awaited<ReturnType<typeof handOn>>
const sessionOf = async ({ user }: Chain, workload: string): Promise<string> => {
  const found = (await recordsFor(user)).find((record) => record.workload === workload)
  return String(found?.session)
}

/** Everything on the way from the user to C, each of which may be stopped. */
const links: [string, TargetKind, (chain: Chain) => string | Promise<string>][] = [
  ['the user', 'principal', ({ user }) => user],
  ['agent A', 'agent', ({ ids }) => ids.a],
  ['A’s session', 'session', (chain) => sessionOf(chain, chain.ids.a)],
  ['what A handed on', 'jti', ({ first }) => jtiOf(first)],
  ['agent B', 'agent', ({ ids }) => ids.b],
  ['B’s session', 'session', (chain) => sessionOf(chain, chain.ids.b)],
  ['what B handed on', 'jti', ({ second }) => jtiOf(second)],
  ['agent C', 'agent', ({ ids }) => ids.c],
  ['C’s session', 'session', (chain) => sessionOf(chain, chain.ids.c)],
]

const standing = await handOn('standing')

for (const [index, [title, kind, named]] of links.entries()) {
  test(`stopping ${title} stops C, at the broker and with the tokens it has`, async () => {
    const chain = await handOn(`link-${index}`)
    const { c, token, show } = chain
    const client = await connectClient(place.url, c.fetch)
    await client.call('add', 'before')
    assert.equal(await show(await token()), 200)
    const [held, ofOthers] = [await token(), await standing.token()]
    const value = await named(chain)
    assert.notEqual(value, 'undefined')

    await world.running.revoke({ target: { kind, value }, reason: 'a test', by: 'a test' })

    const ran = server.ran.length
    assert.equal(await show(held), 401)
    assert.deepEqual(said(server.records.at(-1)), ['refused', 'revoked', { target: kind }])
    const stopped = await client.call('add', 'after').catch((error: unknown) => error)
    assert.ok(stopped instanceof WritError, String(stopped))
    assert.equal(stopped.code, 'token_refused')
    const record = (await world.audited()).findLast(({ outcome }) => outcome === 'refused')
    assert.deepEqual(said(record), ['refused', 'revoked', { target: kind }])
    // Its session token, which it has had for a while, is good for nothing either.
    await assert.rejects(client.list(), WritError)
    await client.close().catch(() => undefined)
    assert.equal(server.ran.length, ran)

    assert.equal(await standing.show(ofOthers), 200)
    assert.equal(await standing.show(await standing.token()), 200)
    assert.equal(server.ran.length, ran + 2)
  })
}

function said(record: JsonObject | (typeof server.records)[number] | undefined) {
  return [record?.outcome, record?.reason, record?.evidence]
}
