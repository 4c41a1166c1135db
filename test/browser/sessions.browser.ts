import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SessionUpdate } from '../../src/ledger/session-book.ts'
import { openConsole, page, site, skip, tab } from './console.ts'
import { nothingWrong, untilTrue } from './people.ts'
import { picture } from './pictures.ts'

const MANY = 10_000

openConsole({
  async prepare() {
    for (let from = 0; from < MANY; from += 500) {
      await site.seen(Array.from({ length: 500 }, (_, n) => sessionAt(from + n)))
    }
    await site.broker.revoke({
      target: { kind: 'agent', value: 'spiffe://corp.example/agents/payroll' },
      ...{ reason: 'Paid one invoice twice', by: 'local:test' },
    })
  },
})

const AGENTS = ['invoice-bot', 'research', 'triage', 'support/tier-1', 'payroll', 'release']
const PEOPLE = ['maria.keller', 'j.okafor', 'li.wei', 'ana.souza']
const SERVERS = [
  'https://bank.example/mcp',
  'https://notes.example/mcp',
  'https://desk.example/mcp',
]
const TOOLS = ['transfer_funds', 'list_notes', 'create_ticket']

const started = Date.now() / 1000

/** What brokers would report of agents at work, one every few seconds back from now. */
function sessionAt(n: number): SessionUpdate {
  const lastAt = started - 2 - n * 7
  const crew = n < 60 ? '' : `/${Math.floor(n / 60)}`
  const workload = `spiffe://corp.example/agents/${AGENTS[n % AGENTS.length]}${crew}`
  const refused = n % 23 === 7 ? 1 + (n % 5) : 0
  const action = {
    ...{ server: SERVERS[n % 3]!, method: 'tools/call', name: TOOLS[n % 3]! },
    ...{ jti: `token-${n}`, address: `10.2.${n % 200}.${n % 250}`, by: 'broker', at: lastAt },
  }
  return {
    ...{ id: `session-${n}`, workload, actors: [], key: `key-${n}`.padEnd(43, 'A') },
    principal: n % 2 === 0 ? workload : `user:staff:${PEOPLE[n % 4]}`,
    ...{ firstAt: lastAt - 600, lastAt, issued: 20 + (n % 40), spent: 19 + (n % 40), refused },
    tokensUntil: n < 40 && n % 5 !== 3 ? started + 3600 : lastAt + 1,
    identity: {
      ...{ kind: 'spiffe', issuer: 'corp.example', attributes: {} },
      endsAt: started + 3600,
    },
    actions:
      refused > 0
        ? [{ ...action, outcome: 'refused', reason: 'policy_denied' }]
        : [{ ...action, outcome: 'spent' }],
  }
}

const count = () => page.locator('.page-head [role=status]').textContent()
const rows = () => page.locator('tbody tr.open').count()

test('ten thousand sessions load, and only what is on the screen is drawn', { skip }, async () => {
  await page.getByText('10,000 sessions').waitFor({ timeout: 60_000 })
  assert.ok((await rows()) < 60, `${await rows()} rows are drawn`)
  await picture(page, 'sessions')
  await page.keyboard.press('Escape')
  await page.evaluate('window.scrollTo(0, document.body.scrollHeight)')
  await page.locator(`tr[aria-rowindex="${MANY + 1}"]`).waitFor()
  assert.ok((await rows()) < 60)
  nothingWrong(tab.complaints)
})

test('they are filtered at every key, and the page goes on drawing meanwhile', {
  skip,
}, async (t) => {
  await page.evaluate('window.scrollTo(0, 0)')
  await page.evaluate(`
    window.frames_ = []; window.longest_ = 0; window.last_ = performance.now()
    window.draw_ = () => {
      const now = performance.now(); frames_.push(now - last_); last_ = now
      window.going_ = requestAnimationFrame(draw_)
    }
    draw_()
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) longest_ = Math.max(longest_, entry.duration)
    }).observe({ type: 'longtask', buffered: false })`)
  await page.keyboard.press('/')
  const typed = Date.now()
  await page.keyboard.type('research okafor 10.2', { delay: 40 })
  const expected = matches('research', 'okafor', '10.2')
  assert.ok(expected > 10)
  await page.getByText(`${expected.toLocaleString('en')} sessions of 10,000`).waitFor()
  const took = Date.now() - typed
  await page.mouse.wheel(0, 4000)
  await page.getByRole('button', { name: 'More' }).click()
  await page.getByLabel('Workload').fill('research/12')
  await page.getByLabel('Filter sessions').fill('')
  await untilTrue(
    page,
    `!document.querySelector('.page-head [role=status]').textContent.startsWith('10,000')`,
  )
  const [frames, longest] = (await page.evaluate(
    `(cancelAnimationFrame(going_), [frames_.slice(2), longest_])`,
  )) as [number[], number]
  frames.sort((a, b) => a - b)
  const at = (part: number) => frames[Math.floor(frames.length * part)]!.toFixed(1)
  t.diagnostic(
    `19 keys over 10,000 sessions in ${took} ms (40 ms between keys); ` +
      `${frames.length} frames: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${frames.at(-1)!.toFixed(1)} ms; ` +
      `longest task ${longest.toFixed(0)} ms`,
  )
  nothingWrong(tab.complaints)
})

function matches(...words: readonly string[]): number {
  let found = 0
  for (let n = 0; n < MANY; n += 1) {
    const { workload, principal, actions } = sessionAt(n)
    const text = `${workload} ${principal} ${actions[0]?.address}`
    if (words.every((word) => text.includes(word))) found += 1
  }
  return found
}

test('state, principal, server and text narrow it together, and the address keeps the view', {
  skip,
}, async () => {
  const query = new URLSearchParams({ state: 'live', principal: 'okafor', server: 'bank' })
  await page.goto(`${site.url}/sessions?${query}`)
  await page.locator('tbody tr.open').first().waitFor()
  await page.getByText(/of 10,000/).waitFor({ timeout: 60_000 })
  const texts = await page.locator('tbody tr.open').allTextContents()
  assert.ok(texts.length > 0)
  for (const text of texts) assert.match(text, /live.*j\.okafor.*bank\.example/s)
  await page.getByRole('button', { name: /^All/ }).click()
  assert.equal(new URL(page.url()).searchParams.get('state'), null)
  assert.equal(new URL(page.url()).searchParams.get('principal'), 'okafor')
  assert.match((await count()) ?? '', /of 10,000/)
})

test('what happens shows by itself, and no row moves away from under the pointer', {
  skip,
}, async () => {
  await page.goto(`${site.url}/sessions`)
  await page.getByText('10,000 sessions').waitFor({ timeout: 60_000 })
  const order = () => page.locator('tbody tr.open .strong').allTextContents()
  await page.locator('tbody tr.open').nth(3).hover()
  const before = (await order()).slice(0, 8)
  await site.seen([{ ...sessionAt(5), lastAt: Date.now() / 1000, issued: 4000 }])
  // It is told in its place.
  await page.locator('#s-session-5').getByText('4,0', { exact: false }).waitFor()
  assert.deepEqual((await order()).slice(0, 8), before)
  await page.mouse.move(5, 5)
  await site.seen([{ ...sessionAt(6), lastAt: Date.now() / 1000 }])
  await untilTrue(page, `document.querySelector('tbody tr.open')?.id === 's-session-6'`)
})

test('a stream that breaks is said, comes back by itself, and nothing was missed', {
  skip,
}, async () => {
  const live = page.locator('.side .stream').first()
  await live.filter({ hasText: 'Live' }).waitFor()
  await site.restartBroker(() => live.filter({ hasText: 'Reconnecting' }).waitFor())
  await site.seen([
    {
      ...sessionAt(MANY),
      id: 'session-new',
      workload: 'spiffe://corp.example/agents/late',
      lastAt: Date.now() / 1000,
    },
  ])
  await live.filter({ hasText: 'Live' }).waitFor({ timeout: 60_000 })
  await page.getByLabel('Filter sessions').fill('agents/late')
  await page.locator('#s-session-new').waitFor({ timeout: 60_000 })
  nothingWrong(tab.complaints.filter((text) => !text.includes('/v1/')))
})
