// There is always an admin who can let others in, whatever is removed at once.
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import type { AuditRecord } from '../../src/audit/record.ts'
import {
  enrol,
  LOCAL,
  newPerson,
  refusedWith,
  type Site,
  signInBrowser,
  startSite,
} from './site.ts'

let site: Site
const sites: Site[] = []
beforeEach(async () => {
  site = await startSite()
  sites.push(site)
})
after(() => Promise.all(sites.map((each) => each.close())))

test('the last admin cannot be removed, demoted or left without a passkey', async () => {
  const { person } = await newPerson(site, 'admin')
  await newPerson(site, 'viewer')
  const admin = (await site.signIn.people.list()).find(({ id }) => id === person)!
  const passkey = admin.passkeys[0]!.id
  const { people } = site.signIn
  await assert.rejects(people.remove(person, LOCAL), refusedWith('last_admin'))
  await assert.rejects(people.setRole(person, 'viewer', LOCAL), refusedWith('last_admin'))
  await assert.rejects(people.removePasskey(person, passkey, LOCAL), refusedWith('last_admin'))
  assert.equal((await people.list()).length, 2)

  const other = await newPerson(site, 'admin')
  await people.setRole(person, 'viewer', LOCAL)
  await assert.rejects(people.remove(other.person, LOCAL), refusedWith('last_admin'))
})

test('an admin without a passkey is none who could let others in', async () => {
  const { person } = await newPerson(site, 'admin')
  const other = await newPerson(site, 'viewer')
  const { people } = site.signIn
  const [passkey] = (await people.list()).find(({ id }) => id === other.person)!.passkeys
  await people.removePasskey(other.person, passkey!.id, LOCAL)
  await people.setRole(other.person, 'admin', LOCAL)
  await assert.rejects(people.remove(person, LOCAL), refusedWith('last_admin'))
  await enrol(site, (await people.inviteAgain(other.person, LOCAL)).url)
  await people.remove(person, LOCAL)
})

test('two admins who remove each other at once: one stays', async () => {
  const admins = [await newPerson(site, 'admin'), await newPerson(site, 'admin')]
  const all = await Promise.allSettled(
    admins.flatMap(({ person }) => [
      site.signIn.people.remove(person, LOCAL),
      site.signIn.people.setRole(person, 'viewer', LOCAL),
    ]),
  )
  assert.ok(all.some(({ status }) => status === 'rejected'))
  const left = await site.signIn.people.list()
  assert.ok(left.some(({ role, passkeys }) => role === 'admin' && passkeys.length > 0))
})

test('who is made an admin while they are removed stays, or nobody might', async () => {
  const alone = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const audit = {
    async record({ reason, principal }: AuditRecord) {
      if (reason !== 'person_removed' || principal !== `person:${other.person}`) return
      begun.resolve()
      await alone.promise
    },
  }
  site = await startSite({ audit })
  sites.push(site)
  const { people } = site.signIn
  const [admin, other] = [await newPerson(site, 'admin'), await newPerson(site, 'viewer')]
  const removed = assert.rejects(people.remove(other.person, LOCAL), refusedWith('conflict'))
  await begun.promise
  await people.setRole(other.person, 'admin', LOCAL)
  await people.remove(admin.person, LOCAL)
  alone.resolve()
  await removed
  const left = await people.list()
  assert.deepEqual(
    left.map(({ id, role, passkeys }) => [id, role, passkeys.length]),
    [[other.person, 'admin', 1]],
  )
  await signInBrowser(site, other.passkey)
})

test('an admin who loses two passkeys at once keeps one', async () => {
  const { person } = await newPerson(site, 'admin')
  await enrol(site, (await site.signIn.people.inviteAgain(person, LOCAL)).url)
  const [found] = await site.signIn.people.list()
  const all = await Promise.allSettled(
    found!.passkeys.map(({ id }) => site.signIn.people.removePasskey(person, id, LOCAL)),
  )
  assert.deepEqual(all.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  assert.equal((await site.signIn.people.list())[0]!.passkeys.length, 1)
})

test('a role that is changed twice at once is changed once', async () => {
  const admin = await newPerson(site, 'admin')
  const { person } = await newPerson(site, 'viewer')
  const { people } = site.signIn
  const all = await Promise.allSettled([
    people.setRole(person, 'admin', LOCAL),
    people.setRole(person, 'approver', LOCAL),
  ])
  assert.deepEqual(all.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  const promoted = all[0]!.status === 'fulfilled'
  const left = people.remove(admin.person, LOCAL)
  await (promoted ? left : assert.rejects(left, refusedWith('last_admin')))
})
