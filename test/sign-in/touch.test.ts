import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Admin } from '../../src/sign-in/admin.ts'
import type { SoftwarePasskey, Twist } from './authenticator.ts'
import { LOCAL, me, newPerson, refusedWith, type Site, signInBrowser, startSite } from './site.ts'

const HASH = 'n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg'
const OTHER = 'LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564'

let site: Site
let admin: Admin
let passkey: SoftwarePasskey
let second: Admin
let secondKey: SoftwarePasskey

async function person(): Promise<[Admin, SoftwarePasskey]> {
  const made = await newPerson(site, 'admin')
  const { browser } = await signInBrowser(site, made.passkey)
  return [(await me(browser)).body as unknown as Admin, made.passkey]
}

before(async () => {
  site = await startSite()
  ;[admin, passkey] = await person()
  ;[second, secondKey] = await person()
})
after(() => site.close())

const refused = refusedWith('touch_required')
const verify = (of: Admin, hash: string, assertion: unknown) =>
  site.signIn.touch.verify(of, hash, assertion)
const answered = async (of = admin, hash = HASH, twist: Twist = {}, key = passkey) =>
  key.get(await site.signIn.touch.options(of, hash), twist)

test('a touch is good for the action it was asked for, once', async () => {
  const assertion = await answered()
  const all = await Promise.allSettled(
    Array.from({ length: 20 }, () => verify(admin, HASH, assertion)),
  )
  assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1)
  const record = site.records.findLast(({ reason }) => reason === 'passkey_touched')
  assert.deepEqual([record?.principal, record?.evidence?.actionHash], [admin.id, HASH])
})

test('a touch for one action is none for another, nor for another person, nor later', async () => {
  await assert.rejects(verify(admin, OTHER, await answered()), refused)
  const { reason, principal } = site.records.findLast(({ outcome }) => outcome === 'refused')!
  assert.deepEqual([reason, principal], ['passkey_refused', admin.id])
  await assert.rejects(verify(second, HASH, await answered()), refused)
  await assert.rejects(verify(admin, HASH, await answered(admin, HASH, {}, secondKey)), refused)
  const late = await answered()
  site.passSeconds(121)
  await assert.rejects(verify(admin, HASH, late), refused)
  await assert.rejects(verify(admin, HASH, undefined), refused)
})

test('an answer for an action is not good when the same action is asked for again', async () => {
  const before = await answered()
  await verify(admin, HASH, before)
  await answered()
  await assert.rejects(verify(admin, HASH, before), refused)
})

test('a sign-in is no touch, and a touch is no sign-in', async () => {
  const options = await site.signIn.touch.options(admin, HASH)
  const unverified = passkey.get(options, { userVerified: false })
  await assert.rejects(verify(admin, HASH, unverified), refused)
  const elsewhere = await answered(admin, HASH, { origin: 'https://evil.example' })
  await assert.rejects(verify(admin, HASH, elsewhere), refused)
})

test('the options name the person’s passkeys; one of those may leave out whose it is', async () => {
  const options = await site.signIn.touch.options(admin, HASH)
  const allowed = options.allowCredentials as { id: string }[]
  assert.deepEqual(
    [allowed.map(({ id }) => id), options.userVerification],
    [[passkey.id], 'required'],
  )
  await verify(admin, HASH, passkey.get(options, { userHandle: null }))
})

test('who was removed is asked for no touch', async () => {
  const gone = { ...admin, id: 'person:gone' }
  await assert.rejects(site.signIn.touch.options(gone, HASH), refusedWith('signin_required'))
})

test('programs have no passkey to touch', async () => {
  await assert.rejects(site.signIn.touch.options(LOCAL, HASH), refused)
  await assert.rejects(verify(LOCAL, HASH, await answered()), refused)
})
