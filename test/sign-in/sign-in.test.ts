import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Browser, me, newPerson, type Site, signInBrowser, startSite } from './site.ts'

let site: Site
before(async () => {
  site = await startSite()
})
after(() => site.close())

test('the first admin enrols with the first link and signs in', async () => {
  const { passkey, answer, person } = await newPerson(site, 'admin')
  assert.equal(answer.status, 200, answer.text)
  const { browser, done } = await signInBrowser(site, passkey)
  assert.equal(done.status, 303, done.text)
  assert.equal(done.headers.location, '/')
  const { body } = await me(browser)
  assert.equal(body.id, `person:${person}`)
  assert.equal(body.role, 'admin')
  assert.equal((await me(new Browser(site))).status, 401)
})
