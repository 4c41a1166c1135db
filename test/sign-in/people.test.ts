// Who may sign in: removed, demoted, and left with nothing that still counts.
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import type { Admin } from '../../src/sign-in/admin.ts'
import { CommandLine, confirmed } from './command-line.ts'
import {
  Browser,
  enrol,
  LOCAL,
  me,
  newPerson,
  pathOf,
  reachPasskeyPage,
  refusedWith,
  type Site,
  signInBrowser,
  startSite,
  touch,
} from './site.ts'

let site: Site
const sites: Site[] = []
beforeEach(async () => {
  site = await startSite()
  sites.push(site)
})
after(() => Promise.all(sites.map((each) => each.close())))

test('whoever is removed twice at once is removed once, and may enrol the passkey again', async () => {
  await newPerson(site, 'admin')
  const { person, passkey } = await newPerson(site, 'viewer')
  const all = await Promise.allSettled(
    Array.from({ length: 8 }, () => site.signIn.people.remove(person, LOCAL)),
  )
  assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const each of all)
    if (each.status === 'rejected') assert.ok(refusedWith('not_found')(each.reason))
  const { url } = await site.signIn.people.invite({ name: 'B', role: 'viewer' }, LOCAL)
  assert.equal((await enrol(site, url, passkey)).answer.status, 200)
})

test('another passkey signs in the same person; one that is removed signs in nobody', async () => {
  const { passkey, person } = await newPerson(site, 'admin')
  const { url } = await site.signIn.people.inviteAgain(person, LOCAL)
  const second = await enrol(site, url)
  assert.deepEqual([second.answer.status, second.person], [200, person])
  const { browser } = await signInBrowser(site, second.passkey)
  assert.equal((await me(browser)).body.id, `person:${person}`)
  const [found] = await site.signIn.people.list()
  assert.equal(found!.passkeys.length, 2)

  const [kept] = await site.documents.list('sign_in', { group: person, limit: 1 })
  await site.signIn.people.removePasskey(person, found!.passkeys[1]!.id, LOCAL)
  assert.equal((await me(browser)).body.why, 'unknown', 'what was signed in with it is over')
  // Even one that the clean-up did not find.
  await site.documents.put('sign_in', kept!.id, kept!.value)
  assert.equal((await me(browser)).body.why, 'ended')
  await assert.rejects(signInBrowser(site, second.passkey))
  await signInBrowser(site, passkey)
  const removed = site.records.find(({ reason }) => reason === 'passkey_removed')
  assert.deepEqual([removed?.principal, removed?.evidence?.by], [`person:${person}`, LOCAL.id])
  const once = await site.signIn.people.inviteAgain(person, LOCAL)
  assert.equal((await enrol(site, once.url, second.passkey)).answer.status, 200, 'enrolled again')
})

test('removing somebody ends their browsers and their command lines', async () => {
  await newPerson(site, 'admin')
  const { passkey, person } = await newPerson(site, 'viewer')
  const { browser } = await signInBrowser(site, passkey)
  const cli = new CommandLine(site)
  const tokens = await cli.signIn(passkey)
  assert.equal((await cli.me(tokens.access_token)).body.role, 'viewer')
  const grants = () => site.documents.list('oidc_grant', { group: person, limit: 1 })
  assert.equal((await grants()).length, 1)
  await site.signIn.people.remove(person, LOCAL)
  assert.deepEqual(await grants(), [])
  assert.equal((await me(browser)).status, 401)
  assert.equal((await cli.me(tokens.access_token)).status, 401)
  assert.equal((await cli.refresh(tokens.refresh_token)).body.error, 'invalid_grant')
})

test('what cannot be asked for is refused', async () => {
  const { people } = site.signIn
  const by = LOCAL
  for (const name of ['', ' ', 'a'.repeat(101), 'a\u0000b']) {
    await assert.rejects(
      people.invite({ name, role: 'viewer' }, by),
      refusedWith('request_invalid'),
    )
  }
  const role = 'root' as 'admin'
  await assert.rejects(people.invite({ name: 'A', role }, by), refusedWith('request_invalid'))
  const { person } = await newPerson(site, 'admin')
  await assert.rejects(people.removePasskey(person, 'nothing', by), refusedWith('not_found'))
  await assert.rejects(people.inviteAgain('nobody', by), refusedWith('not_found'))
  await assert.rejects(people.remove('nobody', by), refusedWith('not_found'))
  await assert.rejects(people.setRole('nobody', 'viewer', by), refusedWith('not_found'))
})

test('each change is in the audit, with who made it', async () => {
  const { person } = await newPerson(site, 'admin')
  const viewer = await newPerson(site, 'viewer')
  await site.signIn.people.setRole(viewer.person, 'approver', LOCAL)
  await site.signIn.people.remove(viewer.person, LOCAL)
  await site.signIn.people.inviteAgain(person, LOCAL)
  const told = site.records.map(({ reason, principal, evidence, door, outcome }) => {
    assert.deepEqual([door, outcome], ['admin', 'event'])
    return [reason, principal, evidence?.by ?? evidence?.invitedBy]
  })
  assert.deepEqual(told, [
    ['first_link_made', undefined, undefined],
    ['passkey_enrolled', `person:${person}`, 'local:start'],
    ['person_invited', undefined, 'local:root'],
    ['passkey_enrolled', `person:${viewer.person}`, 'local:root'],
    ['role_changed', `person:${viewer.person}`, 'local:root'],
    ['person_removed', `person:${viewer.person}`, 'local:root'],
    ['passkey_invited', `person:${person}`, 'local:root'],
  ])
})

test('without a record nobody is enrolled, invited, signed in or removed', async () => {
  let fails = false
  const audit = {
    record: async () => {
      if (fails) throw new Error('the disk is full')
    },
  }
  const silent = await startSite({ audit })
  sites.push(silent)
  const { passkey, person } = await newPerson(silent, 'admin')
  await newPerson(silent, 'admin')
  const { url } = await silent.signIn.people.invite({ name: 'B', role: 'viewer' }, LOCAL)
  const cli = new CommandLine(silent)
  const tokens = await cli.signIn(passkey)
  fails = true
  const { people } = silent.signIn
  await assert.rejects(people.invite({ name: 'C', role: 'viewer' }, LOCAL), /disk/)
  await assert.rejects(people.remove(person, LOCAL), /disk/)
  assert.equal((await enrol(silent, url)).answer.status, 500)
  assert.equal((await people.list()).length, 2)
  await assert.rejects(people.setRole(person, 'viewer', LOCAL), /disk/)
  fails = false
  // Who is an admin still counts as one, so the other may go.
  const other = (await people.list()).find(({ id }) => id !== person)!
  await people.setRole(other.id, 'viewer', LOCAL)
  fails = true
  const { done } = await signInBrowser(silent, passkey)
  assert.equal(done.status, 500)
  assert.equal((await cli.refresh(tokens.refresh_token)).status, 500)
})

test('nobody comes back by what they made while they were an admin', async () => {
  await newPerson(site, 'admin')
  const [removed, demoted] = [await newPerson(site, 'admin'), await newPerson(site, 'admin')]
  const links: string[] = []
  for (const { passkey } of [removed, demoted]) {
    const { browser } = await signInBrowser(site, passkey)
    const by = (await me(browser)).body as unknown as Admin
    links.push((await site.signIn.people.invite({ name: 'Eve', role: 'admin' }, by)).url)
  }
  await site.signIn.people.remove(removed.person, LOCAL)
  await site.signIn.people.setRole(demoted.person, 'viewer', LOCAL)
  for (const link of links) assert.equal((await enrol(site, link)).answer.status, 403)
})

test('whoever had a passkey that is removed has nothing left that was begun with it', async () => {
  const { passkey, person } = await newPerson(site, 'admin')
  const second = await enrol(site, (await site.signIn.people.inviteAgain(person, LOCAL)).url)
  const stolen = second.passkey
  const [found] = await site.signIn.people.list()
  // Touched, and not come back yet: in a browser, and for a command line.
  const thief = new Browser(site)
  const { path } = await reachPasskeyPage(thief, site)
  const touched = await touch(thief, path, stolen)
  const cli = new CommandLine(site)
  const { body: asked } = await cli.ask()
  const other = new Browser(site)
  const next = await confirmed(site, String(asked.user_code), other)
  const approved = await touch(other, next, stolen)
  // A link to come back by.
  const { browser } = await signInBrowser(site, stolen)
  const by = (await me(browser)).body as unknown as Admin
  const { url } = await site.signIn.people.inviteAgain(person, by)

  await site.signIn.people.removePasskey(person, found!.passkeys[1]!.id, LOCAL)
  site.passSeconds(2)
  const back = await thief.open(pathOf(site, touched.body.location))
  await thief.open(pathOf(site, back.headers.location ?? '/'))
  assert.equal((await me(thief)).status, 401)
  await other.open(pathOf(site, approved.body.location))
  assert.equal((await cli.poll(String(asked.device_code))).body.error, 'invalid_grant')
  assert.equal((await enrol(site, url)).answer.status, 403)

  const { browser: owner } = await signInBrowser(site, passkey)
  assert.equal((await me(owner)).status, 200)
})
