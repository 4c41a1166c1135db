// Letting people in takes a passkey: the API over the real touch and the real people, with passkeys in
// software. A word stands for who asks; how that is known is tested beside the code of sign-in.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
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
const person = vera.person
interface Door {
  readonly method: string
  readonly path: string
  readonly body?: object
  /** What the touch is asked for. */
  readonly asked: object
  /** The same route for something else. */
  readonly others: readonly object[]
}
const DOORS: Readonly<Record<string, Door>> = {
  'an invitation': {
    ...{ method: 'POST', path: '/v1/people', body: { name: 'Mallory', role: 'admin' } },
    asked: { change: 'invite_person', name: 'Mallory', role: 'admin' },
    others: [
      { change: 'invite_person', name: 'Mallory', role: 'viewer' },
      { change: 'invite_person', name: 'Bob', role: 'admin' },
    ],
  },
  'another link': {
    ...{ method: 'POST', path: `/v1/people/${person}/invitations` },
    asked: { change: 'invite_again', person },
    others: [{ change: 'invite_again', person: ada.person }],
  },
  'another role': {
    ...{ method: 'PATCH', path: `/v1/people/${person}`, body: { role: 'approver' } },
    asked: { change: 'change_role', person, role: 'approver' },
    others: [
      { change: 'change_role', person, role: 'admin' },
      { change: 'change_role', person: eve.person, role: 'approver' },
    ],
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
const isDone = ([status]: readonly unknown[]) => status === 201 || status === 204
const links = async () => (await site.documents.list('link', { limit: 1000 })).length
const roles = async () => (await people.list()).map(({ id, role }) => `${id} ${role}`)

for (const [name, door] of Object.entries(DOORS)) {
  const elsewhere = Object.values(DOORS).filter((each) => each !== door)
  const others = [...door.others, ...elsewhere.map(({ asked }) => asked), WIDE]

  test(`${name}: whoever has the cookie and no passkey gets nothing`, async () => {
    const before = [await links(), await roles()]
    assert.deepEqual(await ask(door, 'ada'), NO)
    for (const touch of [null, {}, 'touched', true]) {
      assert.deepEqual(await ask(door, 'ada', { touch }), NO, JSON.stringify(touch))
    }
    assert.deepEqual([await links(), await roles()], before)
  })

  test(`${name}: a touch for something else is none`, async () => {
    const before = [await links(), await roles()]
    for (const asked of others) {
      const touch = await touchFor(asked)
      assert.deepEqual(await ask(door, 'ada', { touch }), NO, JSON.stringify(asked))
    }
    assert.deepEqual([await links(), await roles()], before)
  })

  test(`${name}: a touch of somebody else is none, nor one by another’s passkey`, async () => {
    const before = [await links(), await roles()]
    assert.deepEqual(await ask(door, 'ada', { touch: await touchFor(door.asked, 'eve') }), NO)
    const byEve = await touchFor(door.asked, 'ada', 'eve')
    assert.deepEqual(await ask(door, 'ada', { touch: byEve }), NO)
    assert.deepEqual([await links(), await roles()], before)
  })

  test(`${name}: a touch for exactly that opens it, once`, async () => {
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
    for (const as of ['admin', 'local', 'fresh']) assert.ok(isDone(await ask(door, as)), as)
    assert.deepEqual(await ask(door, 'stale'), NO)
    const touch = await touchFor(door.asked, 'stale', 'ada')
    assert.ok(isDone(await ask(door, 'stale', { touch })))
    // A touch that is sent counts or not: it does not fall back on the sign-in.
    assert.deepEqual(await ask(door, 'fresh', { touch }), NO)
  })
}

test('a touch for letting somebody in stops nothing', async () => {
  const touch = await touchFor(DOORS['an invitation']!.asked)
  const headers = { 'idempotency-key': 'wide' }
  const called = await rig.call('POST', '/v1/revocations', {
    ...{ as: 'ada', headers, body: { ...WIDE, touch } },
  })
  assert.deepEqual([called.status, called.body.code], NO)
})

const STRICT: readonly (readonly [what: string, body: unknown, pointer: string])[] = [
  ['an unknown change', { change: 'remove_person', person }, '/change'],
  ['a change that is nothing', { change: null, ...WIDE }, '/change'],
  ['a member too many', { change: 'invite_again', person, role: 'admin' }, '/role'],
  ['two changes in one', { ...WIDE, change: 'invite_again', person }, '/targets'],
  ['a revocation with a person', { ...WIDE, person }, '/person'],
  ['a member too few', { change: 'change_role', person }, '/role'],
  ['no role', { change: 'change_role', person, role: 'root' }, '/role'],
  ['no name', { change: 'invite_person', name: '', role: 'viewer' }, '/name'],
  ['nobody’s id', { change: 'invite_again', person: 'a b' }, '/person'],
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

test('a link for somebody who is there is asked for without a body, or with a touch alone', async () => {
  const { path } = DOORS['another link']!
  for (const [body, pointer] of [
    [{ role: 'admin' }, '/role'],
    [[], ''],
    ['"x"', ''],
  ] as const) {
    const called = await rig.call('POST', path, { body })
    assert.deepEqual([called.status, called.body.pointer], [400, pointer], JSON.stringify(body))
  }
  assert.equal((await rig.call('POST', path, { body: {} })).status, 201)
})

test('taking away needs no touch', async () => {
  const [found] = (await people.list()).filter(({ id }) => id === person)
  const passkey = `/v1/people/${person}/passkeys/${found!.passkeys[0]!.id}`
  for (const path of [passkey, `/v1/people/${person}`]) {
    assert.equal((await rig.call('DELETE', path, { as: 'ada' })).status, 204, path)
  }
})
