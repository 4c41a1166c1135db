// Changing people, and letting go on what is stopped, takes a passkey: the API over the real touch and the
// real people, with passkeys in software. A word stands for who asks; `touch-signed-in.test.ts` has real ones.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ROUTES } from '../../src/admin/routes.ts'
import type { SoftwarePasskey } from '../sign-in/authenticator.ts'
import { newPerson, startSite } from '../sign-in/site.ts'
import type { Known } from './people.ts'
import { openRig } from './rig.ts'

const site = await startSite()
const { touch, people } = site.signIn
const rig = await openRig((parts) => ({ signIn: { ...parts.signIn, touch, people } }))
after(async () => {
  await rig.close()
  await site.close()
})

const ada = await newPerson(site, 'admin')
const eve = await newPerson(site, 'admin')
const vera = await newPerson(site, 'viewer')
const passkeys: Record<string, SoftwarePasskey> = { ada: ada.passkey, eve: eve.passkey }
const now = Date.now() / 1000
const admins: Record<string, Known> = {
  // Signed in a moment ago, and yet it is the cookie that asks.
  ada: { kind: 'person', role: 'admin', id: `person:${ada.person}`, csrf: 'c', touchedAt: now },
  eve: { kind: 'person', role: 'admin', id: `person:${eve.person}`, csrf: 'd', touchedAt: now },
  fresh: { kind: 'person', role: 'admin', id: `person:${ada.person}`, touchedAt: now - 200 },
  stale: { kind: 'person', role: 'admin', id: `person:${ada.person}`, touchedAt: now - 400 },
  local: { kind: 'local', role: 'admin' },
}
for (const [word, known] of Object.entries(admins)) rig.signIn.add(word, known)

const WIDE = { targets: [{ kind: 'issuer', value: 'oidc:ci' }], reason: 'x' }

/** One request that takes a touch. */
interface Door {
  readonly method: string
  readonly path: string
  readonly body?: object
  /** What the touch is asked for. */
  readonly asked: object
  /** The same route for something else. */
  readonly others: readonly object[]
}

const passkeyOf = async (id: string) =>
  (await people.list()).find((each) => each.id === id)!.passkeys[0]!.id
const newViewer = async () => (await newPerson(site, 'viewer')).person
let stops = 0
async function newStop(): Promise<string> {
  stops += 1
  const headers = { 'idempotency-key': `stop-${stops}` }
  const targets = [{ kind: 'task', value: `task-${stops}` }]
  const body = { targets, reason: 'it misbehaves' }
  const made = await rig.call('POST', '/v1/revocations', { as: 'local', headers, body })
  assert.equal(made.status, 201)
  return made.body.items[0].id
}

/** Each with something of its own to change, so that it can be done as often as one likes. */
const DOORS: Readonly<Record<string, () => Promise<Door>>> = {
  'POST /v1/people': async () => ({
    ...{ method: 'POST', path: '/v1/people', body: { name: 'Mallory', role: 'admin' } },
    asked: { change: 'invite_person', name: 'Mallory', role: 'admin' },
    others: [
      { change: 'invite_person', name: 'Mallory', role: 'viewer' },
      { change: 'invite_person', name: 'Bob', role: 'admin' },
    ],
  }),
  'POST /v1/people/{id}/invitations': async () => ({
    ...{ method: 'POST', path: `/v1/people/${vera.person}/invitations` },
    asked: { change: 'invite_again', person: vera.person },
    others: [{ change: 'invite_again', person: ada.person }],
  }),
  'PATCH /v1/people/{id}': async () => ({
    ...{ method: 'PATCH', path: `/v1/people/${vera.person}`, body: { role: 'approver' } },
    asked: { change: 'change_role', person: vera.person, role: 'approver' },
    others: [
      { change: 'change_role', person: vera.person, role: 'admin' },
      { change: 'change_role', person: eve.person, role: 'approver' },
    ],
  }),
  'DELETE /v1/people/{id}': async () => {
    const person = await newViewer()
    return {
      ...{ method: 'DELETE', path: `/v1/people/${person}` },
      asked: { change: 'remove_person', person },
      others: [
        { change: 'remove_person', person: vera.person },
        { change: 'remove_passkey', person, passkey: await passkeyOf(person) },
      ],
    }
  },
  'DELETE /v1/people/{id}/passkeys/{passkey}': async () => {
    const person = await newViewer()
    const passkey = await passkeyOf(person)
    return {
      ...{ method: 'DELETE', path: `/v1/people/${person}/passkeys/${passkey}` },
      asked: { change: 'remove_passkey', person, passkey },
      others: [
        { change: 'remove_passkey', person, passkey: await passkeyOf(vera.person) },
        { change: 'remove_passkey', person: vera.person, passkey },
        { change: 'remove_person', person },
      ],
    }
  },
  'POST /v1/revocations/{id}/undo': async () => {
    const revocation = await newStop()
    const reason = 'a false alarm'
    return {
      ...{ method: 'POST', path: `/v1/revocations/${revocation}/undo`, body: { reason } },
      asked: { change: 'undo_revocation', revocation, reason },
      others: [
        { change: 'undo_revocation', revocation, reason: 'it was the supplier' },
        { change: 'undo_revocation', revocation: await newStop(), reason },
      ],
    }
  },
}

/** What the passkey answers. */
async function touchFor(asked: object, as = 'ada', with_ = as): Promise<object> {
  const { status, body } = await rig.call('POST', '/v1/touch', { as, body: asked })
  assert.equal(status, 200, JSON.stringify(body))
  return passkeys[with_]!.get(body)
}

async function ask({ method, path, body }: Door, as: string, more?: object) {
  const sent = more === undefined ? body : { ...body, ...more }
  const { status, body: told } = await rig.call(method, path, { as, body: sent })
  return [status, told?.code]
}

const NO = [403, 'touch_required']
const isDone = ([status]: readonly unknown[]) => Number(status) < 300
/** Everything that one of the doors changes. */
async function standing(): Promise<readonly unknown[]> {
  const { body } = await rig.call('GET', '/v1/revocations?limit=200')
  return [
    (await site.documents.list('link', { limit: 1000 })).length,
    (await people.list()).map(({ id, role, passkeys }) => [id, role, passkeys.length]),
    body.items.map(({ id, state }: { id: string; state: string }) => [id, state]),
  ]
}

test('all that an admin can change takes a touch, save stopping something that is not wide', () => {
  const changes = ROUTES.filter(({ change }) => change !== undefined)
  const names = changes.map(({ method, path }) => `${method} ${path}`)
  assert.deepEqual(names.sort(), [...Object.keys(DOORS), 'POST /v1/revocations'].sort())
})

for (const [name, open] of Object.entries(DOORS)) {
  test(`${name}: whoever has the cookie and no passkey changes nothing`, async () => {
    const door = await open()
    const before = await standing()
    assert.deepEqual(await ask(door, 'ada'), NO)
    for (const touch of [null, {}, 'touched', true]) {
      assert.deepEqual(await ask(door, 'ada', { touch }), NO, JSON.stringify(touch))
    }
    assert.deepEqual(await standing(), before)
  })

  test(`${name}: a touch for something else is none`, async () => {
    const door = await open()
    const elsewhere = await Promise.all(
      Object.values(DOORS)
        .filter((each) => each !== open)
        .map(async (each) => (await each()).asked),
    )
    const before = await standing()
    for (const asked of [...door.others, ...elsewhere, WIDE]) {
      const touch = await touchFor(asked)
      assert.deepEqual(await ask(door, 'ada', { touch }), NO, JSON.stringify(asked))
    }
    assert.deepEqual(await standing(), before)
  })

  test(`${name}: a touch of somebody else is none, nor one by another’s passkey`, async () => {
    const door = await open()
    const before = await standing()
    assert.deepEqual(await ask(door, 'ada', { touch: await touchFor(door.asked, 'eve') }), NO)
    const byEve = await touchFor(door.asked, 'ada', 'eve')
    assert.deepEqual(await ask(door, 'ada', { touch: byEve }), NO)
    assert.deepEqual(await standing(), before)
  })

  test(`${name}: a touch for exactly that opens it, once`, async () => {
    const door = await open()
    const touch = await touchFor(door.asked)
    const all = await Promise.all(Array.from({ length: 8 }, () => ask(door, 'ada', { touch })))
    assert.equal(all.filter(isDone).length, 1, JSON.stringify(all))
    assert.deepEqual(
      all.filter((each) => !isDone(each)),
      Array.from({ length: 7 }, () => NO),
    )
    assert.deepEqual(await ask(door, 'ada', { touch }), NO)
    assert.equal(JSON.stringify(await rig.recorded()).includes('authenticatorData'), false)
  })

  test(`${name}: programs and the machine’s operator are not asked, command lines for a new sign-in`, async () => {
    for (const as of ['admin', 'local', 'fresh']) assert.ok(isDone(await ask(await open(), as)), as)
    const door = await open()
    assert.deepEqual(await ask(door, 'stale'), NO)
    const touch = await touchFor(door.asked, 'stale', 'ada')
    assert.ok(isDone(await ask(door, 'stale', { touch })))
    // A touch that is sent counts or not: it does not fall back on the sign-in.
    const another = await open()
    for (const none of [touch, null]) {
      assert.deepEqual(await ask(another, 'fresh', { touch: none }), NO)
    }
  })
}

test('a touch for something else stops nothing', async () => {
  for (const [name, open] of Object.entries(DOORS)) {
    const touch = await touchFor((await open()).asked)
    const headers = { 'idempotency-key': name.replaceAll(' ', '-') }
    const body = { ...WIDE, touch }
    const called = await rig.call('POST', '/v1/revocations', { as: 'ada', headers, body })
    assert.deepEqual([called.status, called.body.code], NO, name)
  }
})

test('nobody is exempt for themselves: not to leave, nor to give a passkey back', async () => {
  const own = `/v1/people/${ada.person}`
  for (const path of [own, `${own}/passkeys/${await passkeyOf(ada.person)}`]) {
    const { status, body } = await rig.call('DELETE', path, { as: 'ada' })
    assert.deepEqual([status, body.code], NO, path)
  }
})

const { person } = vera
const STRICT: readonly (readonly [what: string, body: unknown, pointer: string])[] = [
  ['an unknown change', { change: 'remove', person }, '/change'],
  ['a change that is nothing', { change: null, ...WIDE }, '/change'],
  ['a member too many', { change: 'invite_again', person, role: 'admin' }, '/role'],
  ['two changes in one', { ...WIDE, change: 'invite_again', person }, '/targets'],
  ['a revocation with a person', { ...WIDE, person }, '/person'],
  ['a member too few', { change: 'change_role', person }, '/role'],
  ['no role', { change: 'change_role', person, role: 'root' }, '/role'],
  ['no name', { change: 'invite_person', name: '', role: 'viewer' }, '/name'],
  ['nobody’s id', { change: 'invite_again', person: 'a b' }, '/person'],
  ['no reason', { change: 'undo_revocation', revocation: 'x', reason: '' }, '/reason'],
  ['an undo of nothing', { change: 'undo_revocation', reason: 'x' }, '/revocation'],
  ['an id of no form', { change: 'remove_passkey', person, passkey: '\u00e9' }, '/passkey'],
  ['a removal of a passkey of nobody', { change: 'remove_passkey', passkey: 'x' }, '/person'],
  ['a touch', { change: 'invite_again', person, touch: {} }, '/touch'],
  ['a wrong target', { ...WIDE, targets: [{ kind: 'all', value: 'x' }] }, '/targets/0/kind'],
]
for (const [what, body, pointer] of STRICT) {
  test(`no touch is asked for with ${what}`, async () => {
    const called = await rig.call('POST', '/v1/touch', { as: 'ada', body })
    assert.deepEqual(
      [called.status, called.body.code, called.body.pointer],
      [400, 'request_invalid', pointer],
    )
  })
}

test('what takes a touch and nothing else is asked without a body, or with a touch alone', async () => {
  const passkey = await passkeyOf(person)
  const paths: readonly (readonly [string, string, number])[] = [
    ['POST', `/v1/people/${person}/invitations`, 201],
    ['DELETE', `/v1/people/${person}/passkeys/${passkey}`, 204],
    ['DELETE', `/v1/people/${person}`, 204],
  ]
  for (const [method, path, done] of paths) {
    for (const [body, pointer] of [
      [{ role: 'admin' }, '/role'],
      [[], ''],
      ['"x"', ''],
    ] as const) {
      const called = await rig.call(method, path, { body })
      assert.deepEqual([called.status, called.body.pointer], [400, pointer], JSON.stringify(body))
    }
    assert.equal((await rig.call(method, path, { body: {} })).status, done, path)
  }
})
