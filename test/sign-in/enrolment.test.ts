// How somebody gets in for the first time: one-time links, and the passkeys that are enrolled with them.
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { SoftwarePasskey } from './authenticator.ts'
import { type Answer, Browser, enrol, LOCAL, newPerson, type Site, startSite } from './site.ts'

let site: Site
const sites: Site[] = []
beforeEach(async () => {
  site = await startSite()
  sites.push(site)
})
after(() => Promise.all(sites.map((each) => each.close())))

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

test('the first one has to say a name, which is theirs; the link goes on until then', async () => {
  const link = (await site.signIn.firstLink())!
  const browser = new Browser(site)
  const secret = new URL(link).hash.slice(1)
  const { body } = await browser.post('/sign-in/enrol/options', { link: secret })
  assert.deepEqual([body.name, body.role, body.first], ['', 'admin', true])
  for (const name of ['', '  ', 'a\u0007', 'n'.repeat(101)]) {
    const begun = await browser.post('/sign-in/enrol/options', { link: secret })
    const credential = new SoftwarePasskey(site).create(
      begun.body.options as Record<string, unknown>,
    )
    const said = { link: secret, name, credential }
    const refused = await browser.post('/sign-in/enrol/finish', said)
    assert.deepEqual([refused.status, refused.body.title], [400, 'request_invalid'], name)
    assert.match(String(refused.body.detail), /^Say your name/)
  }
  assert.deepEqual(await site.signIn.people.list(), [])
  const { answer } = await enrol(site, link, undefined, {}, ' Sam Abara ')
  assert.deepEqual([answer.status, answer.body.name], [200, 'Sam Abara'])
  assert.deepEqual(
    (await site.signIn.people.list()).map(({ name }) => name),
    ['Sam Abara'],
  )
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
