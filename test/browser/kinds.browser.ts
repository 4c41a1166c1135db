// Every kind of target, one and several at once, typed into the console: who is named is refused at the
// next call, and who only looks alike is not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SessionDetail, Target } from '../../src/admin/schemas.ts'
import type { Agent, HeldCall } from './agents.ts'
import { openConsole, page, site, skip, tab } from './console.ts'
import { nothingWrong } from './people.ts'
import { until, untilCount, untilServed } from './until.ts'

const DOMAINS = ['one.test', 'two.test', 'one.test.example']

openConsole({ at: '/revocations', domains: DOMAINS, servers: 4 })

/** The session of an agent that has just called a tool, as an admin finds it. */
async function sessionOf({ workload, key }: Agent): Promise<SessionDetail> {
  const query = new URLSearchParams({ workload })
  let found: SessionDetail | undefined
  await until(`the broker knows the session of ${workload}`, async () => {
    const { items } = (await page.evaluate(
      `fetch('/v1/sessions?' + ${JSON.stringify(query.toString())}).then((r) => r.json())`,
    )) as { items: SessionDetail[] }
    found = items.find((session) => session.key === key)
    return found !== undefined
  })
  return found!
}

interface Case {
  readonly name: string
  readonly kind: Target['kind']
  readonly wide?: true
  /** One that is to be stopped; `n` is 1, 2 … */
  readonly victim: (n: number) => Promise<Agent>
  /** One whose name only looks like that of the first. */
  readonly lookalike: () => Promise<Agent>
  readonly value: (agent: Agent, n: number) => string | Promise<string>
}

const user = (name: string) => site.agent('/agents/clerk', undefined, { user: name })
const at = (n: number) => site.agent('/agents/porter', undefined, { resource: site.resources[n]! })
const of = (domain: string) => site.agent('/agents/guest', undefined, { domain })

const cases: readonly Case[] = [
  {
    ...{ name: 'agent', kind: 'agent', value: ({ workload }) => workload },
    victim: (n) => site.agent(`/agents/bot-${n}`),
    lookalike: () => site.agent('/agents/bot-11'),
  },
  {
    ...{ name: 'agent, with all beneath it', kind: 'agent', wide: true },
    victim: (n) => site.agent(`/agents/crew-${n}/mate`),
    lookalike: () => site.agent('/agents/crew-11/mate'),
    value: (_, n) => `spiffe://demo.test/agents/crew-${n}/*`,
  },
  {
    ...{ name: 'session', kind: 'session', value: async (agent) => (await sessionOf(agent)).id },
    victim: () => site.agent('/agents/scribe'),
    lookalike: () => site.agent('/agents/scribe'),
  },
  {
    ...{ name: 'key', kind: 'key', value: async (agent) => (await sessionOf(agent)).key },
    victim: () => site.agent('/agents/courier'),
    lookalike: () => site.agent('/agents/courier'),
  },
  {
    ...{ name: 'principal', kind: 'principal', value: (_, n) => `user:staff:ann-${n}` },
    victim: (n) => user(`ann-${n}`),
    lookalike: () => user('ann-11'),
  },
  {
    ...{ name: 'task', kind: 'task', value: (_, n) => `ticket-${n}` },
    victim: (n) => site.agent('/agents/triage', `ticket-${n}`),
    lookalike: () => site.agent('/agents/triage', 'ticket-11'),
  },
  {
    ...{ name: 'server', kind: 'server', wide: true, value: (_, n) => site.resources[n]! },
    victim: at,
    lookalike: () => at(3),
  },
  {
    ...{
      name: 'issuer',
      kind: 'issuer',
      wide: true,
      value: (_, n) => `spiffe://${DOMAINS[n - 1]}`,
    },
    victim: (n) => of(DOMAINS[n - 1]!),
    lookalike: () => of(DOMAINS[2]!),
  },
]

const dialog = () => page.getByRole('dialog')

/** Opens the dialog and types targets of one kind after the other. */
async function type(...groups: readonly (readonly [Target['kind'], string])[]): Promise<void> {
  await page.goto(`${site.url}/revocations`)
  await page.getByRole('button', { name: 'Stop something …' }).click()
  for (const [n, [kind, text]] of groups.entries()) {
    if (n > 0) await dialog().getByRole('button', { name: 'And something else …' }).click()
    const group = dialog().getByRole('group').nth(n)
    await group.getByLabel('What').selectOption(kind)
    await group.locator('textarea, input').first().fill(text)
  }
}

async function stop(reason: string): Promise<void> {
  await dialog().getByLabel('Reason').fill(reason)
  await dialog().getByRole('button', { name: /^Stop/ }).click()
  await page.getByText('Held by 5 of 5').waitFor()
  await page.getByRole('button', { name: 'Done', exact: true }).click()
}

const rowsOf = (reason: string) => page.locator('tbody tr').filter({ hasText: reason })

async function undoAll(reason: string, count: number): Promise<void> {
  await untilCount(rowsOf(reason), count)
  for (let n = 0; n < count; n += 1) {
    await rowsOf(reason).nth(n).getByRole('button', { name: 'Undo …' }).click()
    await dialog().getByLabel('Reason').fill('tried enough')
    await dialog().getByRole('button', { name: 'Undo', exact: true }).click()
    await dialog().waitFor({ state: 'detached' })
    await rowsOf(reason).nth(n).getByText('undone').waitFor()
  }
}

async function served(agents: readonly Agent[]): Promise<void> {
  for (const agent of agents) assert.equal(typeof (await agent.call('list_notes')), 'string')
}

async function refused(agents: readonly Agent[]): Promise<void> {
  for (const agent of agents) await assert.rejects(agent.call('list_notes'), agent.workload)
}

for (const { name, kind, wide = false, victim, lookalike, value } of cases) {
  for (const count of [1, 2]) {
    const who = count === 1 ? 'one' : 'several'
    test(`${who} stopped by ${name}: refused at the next call, unlike who looks alike, and served once undone`, {
      skip,
    }, async () => {
      const numbers = Array.from({ length: count }, (_, at) => at + 1)
      const victims = await Promise.all(numbers.map(victim))
      const other = await lookalike()
      await served([...victims, other])
      const values = await Promise.all(victims.map((each, at) => value(each, numbers[at]!)))
      await type([kind, values.join('\n')])
      await dialog()
        .getByText(/Stops \d+ live session/)
        .waitFor()
      await untilCount(dialog().getByText('This is wide'), wide ? 1 : 0)
      const reason = `tried ${count} by ${name}`
      await stop(reason)
      await refused(victims)
      await served([other])
      await undoAll(reason, count)
      for (const each of victims) await untilServed(() => each.call('list_notes'))
      nothingWrong(tab.complaints)
    })
  }
}

for (const count of [1, 2]) {
  test(`${count === 1 ? 'one token' : 'several tokens'} under way, stopped by jti: refused, unlike another of the same agent`, {
    skip,
  }, async () => {
    const agents = await Promise.all([1, 2].map((n) => site.agent(`/agents/runner-${n}`)))
    const [other, ...held] = await holdAll([agents[0]!, agents[0]!, agents[1]!].slice(0, count + 1))
    await type(['jti', held.map(({ jti }) => jti).join('\n')])
    const tokens = count === 1 ? '1 token' : '2 tokens'
    await dialog().getByText(`Stops ${tokens}, and nothing else`).waitFor()
    const reason = `tried ${count} by jti`
    await stop(reason)
    for (const each of held) await assert.rejects(each.send())
    assert.equal(typeof (await other!.send()), 'string')
    await served(agents)
    await untilCount(rowsOf(reason), count)
    assert.equal(await rowsOf(reason).getByRole('button', { name: 'Undo …' }).count(), 0)
    nothingWrong(tab.complaints)
  })
}

/** One after the other, as an agent holds back one call at a time. */
async function holdAll(agents: readonly Agent[]): Promise<HeldCall[]> {
  const held: HeldCall[] = []
  for (const agent of agents) held.push(await agent.hold('list_notes'))
  return held
}

test('several kinds are stopped at once, and whoever is of none of them goes on', {
  skip,
}, async () => {
  const [bot, clerk, porter, other] = await Promise.all([
    site.agent('/agents/mixed'),
    user('mixed'),
    site.agent('/agents/porter', 'mixed-3'),
    site.agent('/agents/mixed-up', 'mixed-33'),
  ])
  const [held] = await holdAll([other])
  await served([bot, clerk, porter])
  await type(
    ['agent', bot.workload],
    ['principal', 'user:staff:mixed'],
    ['task', 'mixed-3'],
    ['jti', held!.jti],
  )
  await dialog().getByText('Stops 3 live sessions now').waitFor()
  await dialog().getByText('By 4 revocations').waitFor()
  assert.deepEqual(await dialog().locator('.each li').allInnerTexts(), [
    `${bot.workload}\n1 session`,
    'user:staff:mixed\n1 session',
    'mixed-3\n1 session',
    `${held!.jti}\nthis token`,
  ])
  await stop('tried kinds together')
  await refused([bot, clerk, porter])
  await assert.rejects(held!.send())
  await served([other])
  await untilCount(rowsOf('tried kinds together'), 4)
  nothingWrong(tab.complaints)
})

for (const count of [1, 2]) {
  test(`stopped by ${count === 1 ? 'a time' : 'two times'}: what was issued before is refused for good, unlike what is issued later`, {
    skip,
  }, async () => {
    const agents = await Promise.all([1, 2].map((n) => site.agent(`/agents/early-${n}`)))
    const held = await holdAll(agents)
    const time = Math.ceil(Date.now() / 1000)
    await until('that second is over', () => Date.now() / 1000 >= time + 1)
    const times = [time, time - 60].slice(0, count)
    const local = (await page.evaluate(
      `${JSON.stringify(times)}.map((at) => {
        const date = new Date(at * 1000 - new Date(at * 1000).getTimezoneOffset() * 60_000)
        return date.toISOString().slice(0, 19)
      })`,
    )) as string[]
    await type(...local.map((text) => ['before', text] as const))
    await dialog()
      .getByText(/Stops \d+ live session/)
      .waitFor()
    await dialog().getByText('This is wide').waitFor()
    const reason = `tried ${count} by time`
    await stop(reason)
    for (const each of held) await assert.rejects(each.send())
    const later = await site.agent('/agents/late')
    await served([...agents, later])
    await untilCount(rowsOf(reason), count)
    assert.equal(await rowsOf(reason).getByRole('button', { name: 'Undo …' }).count(), 0)
    nothingWrong(tab.complaints)
  })
}
