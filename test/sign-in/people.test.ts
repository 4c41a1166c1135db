import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditRecord } from '../../src/audit/record.ts'
import type { Admin } from '../../src/sign-in/admin.ts'
import { AdminRefusal } from '../../src/sign-in/admin-refusal.ts'
import { SoftwarePasskey } from './authenticator.ts'
import { CommandLine, confirmed } from './command-line.ts'
import {
  type Answer,
  Browser,
  enrol,
  LOCAL,
  me,
  newPerson,
  pathOf,
  reachPasskeyPage,
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

const codeOf = (code: string) => (error: unknown) =>
  error instanceof AdminRefusal && error.reason.code === code

test('the first link makes the first admin, once; later there is none', async () => {
  // As long as a record takes, another enrolment could come between.
  const slow = { record: async () => await sleep(20) }
  site = await startSite({ audit: slow })
  sites.push(site)
  const links = [await site.signIn.firstLink(), await site.signIn.firstLink()] as string[]
  const all = await Promise.all(links.map((link) => enrol(site, link)))
  assert.deepEqual(all.map(({ answer }) => answer.status).sort(), [200, 403])
  assert.equal(await site.signIn.firstLink(), undefined)
  const [first, ...others] = await site.signIn.people.list()
  assert.deepEqual([first?.role, others.length], ['admin', 0])
  for (const link of links) assert.equal((await enrol(site, link)).answer.status, 403)
})

test('a first link that lay around is none when there is somebody', async () => {
  const old = (await site.signIn.firstLink())!
  await newPerson(site, 'admin')
  site.passSeconds(600)
  assert.equal((await enrol(site, old)).answer.status, 403)
  assert.equal((await site.signIn.people.list()).length, 1)
})

test('of forty enrolments at once with one link, one succeeds', async () => {
  const { url } = await site.signIn.people.invite({ name: 'Many', role: 'approver' }, LOCAL)
  const all = await Promise.all(Array.from({ length: 40 }, () => enrol(site, url)))
  assert.equal(all.filter(({ answer }) => answer.status === 200).length, 1)
  const people = await site.signIn.people.list()
  assert.deepEqual(
    people.map(({ name, role, passkeys }) => [name, role, passkeys.length]),
    [['Many', 'approver', 1]],
  )
  assert.equal((await enrol(site, url)).answer.status, 403, 'used')
})

test('opening a link does not use it up; an hour does', async () => {
  const { url, expiresAt } = await site.signIn.people.invite({ name: 'A', role: 'viewer' }, LOCAL)
  assert.ok(Math.abs(expiresAt - site.now() - 3600) < 5)
  const browser = new Browser(site)
  const { pathname, hash, search } = new URL(url)
  assert.deepEqual([pathname, search], ['/sign-in/enrol', ''])
  for (let n = 0; n < 3; n++) {
    assert.equal((await browser.open(pathname)).status, 200)
    const { status } = await browser.post('/sign-in/enrol/options', { link: hash.slice(1) })
    assert.equal(status, 200)
  }
  site.passSeconds(3601)
  assert.equal((await enrol(site, url)).answer.status, 403)
})

test('a challenge of one link enrols nobody with another', async () => {
  const [one, two] = [
    await site.signIn.people.invite({ name: 'A', role: 'viewer' }, LOCAL),
    await site.signIn.people.invite({ name: 'B', role: 'admin' }, LOCAL),
  ].map(({ url }) => new URL(url).hash.slice(1))
  const browser = new Browser(site)
  const begun = await browser.post('/sign-in/enrol/options', { link: one })
  const credential = new SoftwarePasskey(site).create(begun.body.options as Record<string, unknown>)
  const crossed = await browser.post('/sign-in/enrol/finish', { link: two, credential })
  assert.deepEqual([crossed.status, crossed.body.title], [403, 'passkey_refused'])
})

test('a passkey belongs to one person', async () => {
  const { passkey } = await newPerson(site, 'admin')
  const { url } = await site.signIn.people.invite({ name: 'B', role: 'admin' }, LOCAL)
  assert.equal((await enrol(site, url, passkey)).answer.status, 403)
  assert.equal((await site.signIn.people.list()).length, 1)
})

test('the secret of a link is in no store, no record and no log', async () => {
  const logged: string[] = []
  const log = (about: object, message: string) => void logged.push(JSON.stringify([about, message]))
  const loud = await startSite({ log: { warn: log, error: log } })
  sites.push(loud)
  const { url } = await loud.signIn.people.invite({ name: 'A', role: 'admin' }, LOCAL)
  const secret = new URL(url).hash.slice(1)
  const kept = JSON.stringify(await loud.documents.list('link', { limit: 10 }))
  assert.ok(kept.includes('"A"') && !kept.includes(secret))
  await enrol(loud, url)
  assert.equal(logged.length, 1, 'an enrolment stands out')
  assert.match(logged[0]!, /a passkey was enrolled/)
  assert.ok(!JSON.stringify([loud.records, logged]).includes(secret))
})

test('the last admin cannot be removed, demoted or left without a passkey', async () => {
  const { person } = await newPerson(site, 'admin')
  await newPerson(site, 'viewer')
  const admin = (await site.signIn.people.list()).find(({ id }) => id === person)!
  const passkey = admin.passkeys[0]!.id
  const { people } = site.signIn
  await assert.rejects(people.remove(person, LOCAL), codeOf('last_admin'))
  await assert.rejects(people.setRole(person, 'viewer', LOCAL), codeOf('last_admin'))
  await assert.rejects(people.removePasskey(person, passkey, LOCAL), codeOf('last_admin'))
  assert.equal((await people.list()).length, 2)

  const other = await newPerson(site, 'admin')
  await people.setRole(person, 'viewer', LOCAL)
  await assert.rejects(people.remove(other.person, LOCAL), codeOf('last_admin'))
})

test('an admin without a passkey is none who could let others in', async () => {
  const { person } = await newPerson(site, 'admin')
  const other = await newPerson(site, 'viewer')
  const { people } = site.signIn
  const [passkey] = (await people.list()).find(({ id }) => id === other.person)!.passkeys
  await people.removePasskey(other.person, passkey!.id, LOCAL)
  await people.setRole(other.person, 'admin', LOCAL)
  await assert.rejects(people.remove(person, LOCAL), codeOf('last_admin'))
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
  const removed = assert.rejects(people.remove(other.person, LOCAL), codeOf('conflict'))
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

test('whoever is removed twice at once is removed once, and may enrol the passkey again', async () => {
  await newPerson(site, 'admin')
  const { person, passkey } = await newPerson(site, 'viewer')
  const all = await Promise.allSettled(
    Array.from({ length: 8 }, () => site.signIn.people.remove(person, LOCAL)),
  )
  assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const each of all)
    if (each.status === 'rejected') assert.ok(codeOf('not_found')(each.reason))
  const { url } = await site.signIn.people.invite({ name: 'B', role: 'viewer' }, LOCAL)
  assert.equal((await enrol(site, url, passkey)).answer.status, 200)
})

test('a link for somebody counts while they are there and have room for a passkey', async () => {
  await newPerson(site, 'admin')
  const { person } = await newPerson(site, 'viewer')
  const again = async () => (await site.signIn.people.inviteAgain(person, LOCAL)).url
  const early = new URL(await again()).hash.slice(1)
  const browser = new Browser(site)
  const begin = () => browser.post('/sign-in/enrol/options', { link: early })
  const finish = ({ body }: Answer) => {
    const credential = new SoftwarePasskey(site).create(body.options as Record<string, unknown>)
    return browser.post('/sign-in/enrol/finish', { link: early, credential })
  }
  const begun = await begin()
  for (let n = 1; n < 16; n++) assert.equal((await enrol(site, await again())).answer.status, 200)
  for (const { status, body } of [(await enrol(site, await again())).answer, await finish(begun)]) {
    assert.deepEqual([status, body.title], [403, 'link_refused'])
  }
  const [one] = (await site.signIn.people.list()).find(({ id }) => id === person)!.passkeys
  await site.signIn.people.removePasskey(person, one!.id, LOCAL)
  const later = await begin()
  assert.equal(later.status, 200)
  await site.signIn.people.remove(person, LOCAL)
  for (const { status, body } of [await begin(), await finish(later)]) {
    assert.deepEqual([status, body.title], [403, 'link_refused'])
  }
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
    await assert.rejects(people.invite({ name, role: 'viewer' }, by), codeOf('request_invalid'))
  }
  const role = 'root' as 'admin'
  await assert.rejects(people.invite({ name: 'A', role }, by), codeOf('request_invalid'))
  const { person } = await newPerson(site, 'admin')
  await assert.rejects(people.removePasskey(person, 'nothing', by), codeOf('not_found'))
  await assert.rejects(people.inviteAgain('nobody', by), codeOf('not_found'))
  await assert.rejects(people.remove('nobody', by), codeOf('not_found'))
  await assert.rejects(people.setRole('nobody', 'viewer', by), codeOf('not_found'))
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
  await (promoted ? left : assert.rejects(left, codeOf('last_admin')))
})
