// The same promises on the stores that last, with two servers on one store.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Documents } from '../../src/ledger/documents.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import { startBroker } from '../ledger/redis-setup.ts'
import { skipWithoutRedis, startRedis } from '../support/redis.ts'
import { CommandLine } from './command-line.ts'
import { enrol, LOCAL, me, newPerson, signInBrowser, startSite } from './site.ts'

interface Store {
  readonly documents: Documents
  close(): Promise<unknown>
}

async function onSqlite(): Promise<Store> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-sign-in-'))
  const ledger: Ledger = sqliteLedger({ file: join(directory, 'writ.db'), role: 'broker' })
  await ledger.open()
  return {
    documents: ledger.documents!,
    async close() {
      await ledger.close()
      await rm(directory, { recursive: true })
    },
  }
}

async function onRedis(): Promise<Store> {
  const server = await startRedis()
  const broker = await startBroker({ url: server.url })
  return {
    documents: broker.ledger.documents!,
    async close() {
      await broker.close()
      await server.stop()
    },
  }
}

const stores: [string, () => Promise<Store>, string | false][] = [
  ['SQLite', onSqlite, false],
  ['Redis', onRedis, skipWithoutRedis],
]

for (const [name, open, skip] of stores) {
  test(`${name}: one link, one person, whichever server is asked; what was used is used`, {
    skip,
  }, async () => {
    const store = await open()
    const sites = [await startSite(store), await startSite(store)] as const
    try {
      const first = (await sites[0].signIn.firstLink())!
      const elsewhere = (await sites[1].signIn.firstLink())!
      const begun = await Promise.all([enrol(sites[0], first), enrol(sites[1], elsewhere)])
      assert.deepEqual(begun.map(({ answer }) => answer.status).sort(), [200, 403])

      const { url } = await sites[0].signIn.people.invite({ name: 'Ada', role: 'viewer' }, LOCAL)
      const { hash } = new URL(url)
      const all = await Promise.all(
        Array.from({ length: 40 }, (_, at) => {
          const site = sites[at % 2]!
          return enrol(site, `${site.url}/sign-in/enrol${hash}`)
        }),
      )
      assert.equal(all.filter(({ answer }) => answer.status === 200).length, 1)
      assert.equal((await sites[1].signIn.people.list()).length, 2)

      const { passkey, person } = await newPerson(sites[0], 'approver')
      const { browser } = await signInBrowser(sites[0], passkey)
      const cli = new CommandLine(sites[0])
      const tokens = await cli.signIn(passkey)
      const again = await Promise.all(
        Array.from({ length: 20 }, () => cli.refresh(tokens.refresh_token)),
      )
      assert.ok(again.filter(({ status }) => status === 200).length <= 1)
      assert.equal((await cli.me(tokens.access_token)).status, 401)

      assert.equal((await me(browser)).body.role, 'approver')
      await sites[1].signIn.people.remove(person, LOCAL)
      assert.equal((await me(browser)).status, 401)
      const left = await Promise.all(sites.map(({ signIn }) => signIn.people.list()))
      assert.deepEqual(
        left.map((people) => people.map(({ role }) => role).sort()),
        [0, 1].map(() => ['admin', 'viewer']),
      )
      const back = await sites[0].signIn.people.invite({ name: 'B', role: 'viewer' }, LOCAL)
      assert.equal((await enrol(sites[0], back.url, passkey)).answer.status, 200)
    } finally {
      for (const site of sites) await site.close()
      await store.close()
    }
  })
}
