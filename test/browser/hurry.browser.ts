// Quick hands, slow answers, and answers that are lost: what is shown and sent is what was last asked for.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Request, Route } from 'playwright-core'
import { openConsole, page, rowOf, site, skip, tab } from './console.ts'
import { nothingWrong } from './people.ts'
import { until, untilSaid, untilTrue } from './until.ts'

openConsole()

const dialog = () => page.getByRole('dialog')

/** What is sent to change something at paths that end so, until it ends. */
function listenFor(end: RegExp): { readonly sent: Request[]; stop(): void } {
  const sent: Request[] = []
  const told = (request: Request) => {
    if (/POST|PATCH/.test(request.method()) && end.test(new URL(request.url()).pathname))
      sent.push(request)
  }
  page.on('request', told)
  return { sent, stop: () => page.off('request', told) }
}

/** Does it in the page, in one go: no frame is drawn and no effect runs late between its steps. */
const atOnce = (steps: string) =>
  page.evaluate(`(async () => {
    const drawn = async () => { for (let n = 0; n < 8; n += 1) await null }
    ${steps}
  })()`)

/** Holds the first request back that an address matches, until it is let go. */
async function hold(
  address: RegExp,
  go: (route: Route) => Promise<void>,
): Promise<{ readonly come: Promise<void>; letGo(): void }> {
  const { promise: come, resolve: came } = Promise.withResolvers<void>()
  const { promise: gate, resolve: letGo } = Promise.withResolvers<void>()
  const holding = async (route: Route) => {
    came()
    await gate
    await go(route)
  }
  await page.route(address, holding, { times: 1 })
  return { come, letGo }
}

/** What becomes of the first answer to what is asked of such an address: it is there, as `response`. */
const answerLater = (address: string, steps: string) =>
  page.evaluate(`(() => {
    const real = window.fetch
    window.fetch = async (url, ...rest) => {
      const isIt = String(url).includes('${address}')
      if (isIt) window.fetch = real
      const response = await real(url, ...rest)
      if (isIt) { ${steps} }
      return response
    }
  })()`)

test('keys pressed right after a dialog was asked for are the dialog’s', { skip }, async () => {
  await site.agent('/agents/quick')
  await page.goto(`${site.url}/sessions`)
  await rowOf('agents/quick').waitFor()
  await page.getByRole('grid').focus()
  const where = await atOnce(`
    const press = { key: 's', bubbles: true, cancelable: true }
    document.activeElement.dispatchEvent(new KeyboardEvent('keydown', press))
    await drawn()
    return [document.querySelector('dialog')?.open, document.activeElement.tagName]`)
  assert.deepEqual(where, [true, 'TEXTAREA'])
})

test('what is stopped, and what the dialog says of it, is what was typed last', {
  skip,
}, async () => {
  await page.goto(`${site.url}/revocations`)
  await page.getByRole('button', { name: 'Stop something …' }).click()
  await dialog().getByLabel('What').selectOption('task')
  await dialog().locator('textarea').first().fill('the-first')
  await dialog().getByLabel('Reason').fill('tried in a hurry')
  await dialog().locator('.command code').filter({ hasText: 'the-first' }).waitFor()
  const { sent, stop } = listenFor(/\/v1\/revocations$/)
  const late = await hold(/\/v1\/revocations$/, (route) => route.continue())
  await dialog().locator('[type=submit]').focus()
  const left = await atOnce(`
    const lines = document.querySelector('dialog textarea')
    lines.value = 'the-second'
    lines.dispatchEvent(new InputEvent('input', { bubbles: true }))
    await drawn()
    const left = document.querySelectorAll('dialog .command').length
    document.querySelector('dialog [type=submit]').click()
    return left`)
  assert.equal(left, 0)
  await late.come
  await untilTrue(page, `document.activeElement.textContent === 'Stopping …'`)
  late.letGo()
  await page.getByText('Held by 2 of 2').waitFor()
  stop()
  const stopped = sent.map((request) => request.postDataJSON().targets)
  assert.deepEqual(stopped, [[{ kind: 'task', value: 'the-second' }]])
})

test('an undoing whose answer was lost is done once, and sent again it is told so', {
  skip,
}, async () => {
  const target = { kind: 'task', value: 'lost' } as const
  await site.broker.revoke({ target, reason: 'tried to lose it', by: 'local:test' })
  await page.goto(`${site.url}/revocations?text=lose`)
  await page.getByRole('button', { name: 'Undo …' }).click()
  await dialog().getByLabel('Reason').fill('it was nothing')
  const { sent, stop } = listenFor(/\/undo$/)
  await answerLater('/undo', `throw new TypeError('cut off')`)
  await page.keyboard.press('Enter')
  await dialog().getByText('The broker cannot be reached').waitFor()
  await page.keyboard.press('Enter')
  await untilSaid(page, 'Undone')
  await dialog().waitFor({ state: 'detached' })
  stop()
  const keys = sent.map((request) => request.headers()['idempotency-key'])
  assert.equal(keys.length, 2)
  assert.match(String(keys[0]), /^[\w-]{36}$/)
  assert.equal(keys[1], keys[0])
})

/** Every dialog that waits for a touch: how it is opened and filled in, its button, and where it sends to. */
const TOUCHED: readonly {
  readonly name: string
  readonly open: () => Promise<void>
  readonly button: string
  readonly sent: RegExp
}[] = [
  {
    name: 'undoing',
    async open() {
      const target = { kind: 'task', value: 'left' } as const
      const reason = 'tried to leave it'
      const { id } = await site.broker.revoke({ target, reason, by: 'local:test' })
      await page.goto(`${site.url}/revocations/${id}`)
      await page.getByRole('button', { name: 'Undo …' }).click()
      await dialog().getByLabel('Reason').fill('it was nothing')
    },
    button: 'Undo',
    sent: /\/undo$/,
  },
  {
    name: 'an invitation',
    async open() {
      await page.goto(`${site.url}/people`)
      await page.getByRole('button', { name: 'Invite …' }).click()
      await dialog().getByLabel('Name').fill('Nobody yet')
    },
    button: 'Make a link',
    sent: /\/v1\/people$/,
  },
  {
    name: 'another role',
    async open() {
      await page.goto(`${site.url}/people`)
      await page.getByRole('button', { name: /^Role of/ }).click()
      await dialog().getByLabel('Role', { exact: true }).selectOption('approver')
    },
    button: 'Change role',
    sent: /\/v1\/people\/[^/]+$/,
  },
]

for (const { name, open, button, sent: where } of TOUCHED) {
  test(`${name}: a touch that comes after the dialog was left does nothing`, { skip }, async () => {
    await open()
    // A passkey that is touched when somebody says so, whatever becomes of the question.
    await page.evaluate(`(() => {
      const { credentials } = navigator
      const get = credentials.get.bind(credentials)
      credentials.get = ({ signal, ...options }) => {
        const answer = get(options)
        return new Promise((resolve) => { window.touch_ = async () => resolve(await answer) })
      }
    })()`)
    const { sent, stop } = listenFor(where)
    await dialog().getByRole('button', { name: button, exact: true }).click()
    await untilTrue(page, 'window.touch_ !== undefined')
    await page.keyboard.press('Escape')
    await dialog().waitFor({ state: 'detached' })
    // What the touch would lead to is sent before this is answered.
    await page.evaluate(`touch_().then(() => fetch('/v1/me')).then((r) => r.json())`)
    stop()
    assert.equal(sent.length, 0)
  })

  test(`${name}: sent again after its answer was lost, it is the same request, and the focus stays`, {
    skip,
  }, async () => {
    await open()
    const { sent, stop } = listenFor(where)
    const submit = dialog().locator('[type=submit]')
    const late = await hold(where, (route) => route.abort())
    await submit.focus()
    await page.keyboard.press('Enter')
    await late.come
    await untilTrue(page, `document.activeElement.type === 'submit'`)
    await page.keyboard.press('Enter')
    late.letGo()
    await dialog().getByText('The broker cannot be reached').waitFor()
    await untilTrue(page, `document.activeElement.type === 'submit'`)
    await page.keyboard.press('Enter')
    await until('it is sent again', () => sent.length === 2)
    stop()
    const keys = sent.map((request) => request.headers()['idempotency-key'])
    assert.match(String(keys[0]), /^[\w-]{36}$/)
    assert.equal(keys[1], keys[0])
  })
}

test('a cut off answer is no answer; what was told once is asked for anew', { skip }, async () => {
  await page.goto(`${site.url}/people`)
  const button = page.getByRole('button', { name: 'Link for another passkey' })
  await button.waitFor()
  const { sent, stop } = listenFor(/\/invitations$/)
  await answerLater('/invitations', `return new Response('{"url":', { status: 201 })`)
  await button.click()
  await page.getByText('The answer of the broker was cut off').waitFor()
  await button.click()
  await page.getByText('The answer of the broker was cut off').waitFor({ state: 'detached' })
  await until('the second is answered', async () => (await sent[1]?.response())?.status() === 409)
  await until('a link is shown', async () => {
    if (await dialog().getByText('It is shown only now').isVisible()) return true
    await button.click()
    return false
  })
  stop()
  const keys = sent.map((request) => request.headers()['idempotency-key'])
  assert.equal(keys[1], keys[0])
  assert.notEqual(keys[2], keys[0])
})

test('the address says at once what a page is filtered by', { skip }, async () => {
  for (const path of ['/sessions', '/revocations', '/audit']) {
    await page.goto(site.url + path)
    await page.locator('search input').first().waitFor()
    const search = await atOnce(`
      const field = document.querySelector('search input')
      field.value = 'sought'
      field.dispatchEvent(new InputEvent('input', { bubbles: true }))
      await drawn()
      return location.search`)
    assert.match(String(search), /=sought/, path)
  }
})

test('a key moves the list before the next one is pressed', { skip }, async () => {
  const now = Date.now() / 1000
  await site.seen(
    Array.from({ length: 100 }, (_, n) => ({
      ...{ id: `long-${n}`, workload: `spiffe://demo.test/agents/long-${n}`, principal: 'p' },
      ...{ key: `${n}`.padEnd(43, 'k'), actors: [], actions: [], issued: 1, spent: 0, refused: 0 },
      ...{ firstAt: now, lastAt: now, tokensUntil: now },
    })),
  )
  await page.goto(`${site.url}/sessions`)
  await rowOf('agents/long-').first().waitFor()
  await untilTrue(page, 'document.documentElement.scrollHeight > 3 * innerHeight')
  await page.getByRole('grid').focus()
  const scrolled = await atOnce(`
    scrollTo(0, 0)
    const press = { key: 'End', bubbles: true, cancelable: true }
    document.activeElement.dispatchEvent(new KeyboardEvent('keydown', press))
    await drawn()
    return scrollY > innerHeight`)
  assert.equal(scrolled, true)
})

test('no page asks for sessions that shows none', { skip }, async () => {
  const asked: string[] = []
  const told = (request: Request) => asked.push(new URL(request.url()).pathname)
  page.on('request', told)
  await page.goto(`${site.url}/revocations`)
  await page
    .locator('.side .stream')
    .filter({ hasText: /^Live$/ })
    .waitFor()
  const target = { kind: 'task', value: 'seen-elsewhere' } as const
  await site.broker.revoke({ target, reason: 'tried elsewhere', by: 'local:test' })
  await page.locator('tbody tr').filter({ hasText: 'tried elsewhere' }).waitFor()
  page.off('request', told)
  assert.deepEqual(
    asked.filter((path) => path === '/v1/sessions'),
    [],
  )
})

test('who presses twice before anything is drawn asks once', { skip }, async () => {
  await page.goto(`${site.url}/people`)
  const button = page.getByRole('button', { name: 'Link for another passkey' })
  await button.waitFor()
  const { sent, stop } = listenFor(/\/(touch|invitations)$/)
  await button.evaluate((at: { click(): void }) => {
    at.click()
    at.click()
  })
  await dialog().getByText('It is shown only now').waitFor()
  stop()
  assert.equal(sent.length, 2, 'one touch and one link')
})

test('a verdict is on the question that is on the screen, however late it comes', {
  skip,
}, async () => {
  const query = new URLSearchParams({
    workload: 'spiffe://demo.test/agents/research',
    ...{ server: site.resource, name: 'list_notes' },
  })
  await page.goto(`${site.url}/simulator?${query}`)
  const late = await hold(/\/v1\/policies\/explain$/, (route) => route.continue())
  const ask = page.getByRole('button', { name: 'Ask the policies' })
  const verdict = page.getByRole('region', { name: 'Verdict' })
  await ask.focus()
  await page.keyboard.press('Enter')
  await late.come
  await untilTrue(page, `document.activeElement.textContent === 'Asking …'`)
  await page.getByLabel('Agent').fill('spiffe://elsewhere.test/agents/research')
  late.letGo()
  await ask.waitFor()
  await verdict.getByText('No question yet').waitFor()
  await ask.click()
  await verdict.getByText('Denied').waitFor()
  await page.getByLabel('Agent').fill('')
  await verdict.getByText('No question yet').waitFor()
  await ask.click()
  await page.getByText('Which agent asks?').waitFor()
  await untilTrue(page, `document.activeElement.getAttribute('aria-invalid') === 'true'`)
})

test('what an agent did while the list was asked for is not hidden by an older answer', {
  skip,
}, async () => {
  const agent = await site.agent('/agents/overtaken')
  await site.agent('/agents/marked')
  await page.goto(`${site.url}/sessions`)
  await rowOf('agents/overtaken').waitFor()
  await rowOf('agents/marked').waitFor()
  await page
    .locator('.side .stream')
    .filter({ hasText: /^Live$/ })
    .waitFor()
  await answerLater(
    '/v1/sessions?',
    `const { items, next } = await response.json()
    for (const each of items) if (each.workload.endsWith('/marked')) each.task = 'the-late-answer'
    await new Promise((letGo) => { window.letGo_ = letGo })
    return Response.json({ items, next })`,
  )
  // A revocation makes the page ask for the list again.
  const target = { kind: 'task', value: 'whatever' } as const
  await site.broker.revoke({ target, reason: 'tried an order', by: 'local:test' })
  await untilTrue(page, 'window.letGo_ !== undefined')
  await agent.call('add_note', { title: 'Late', text: 'Still here.' })
  const told = rowOf('agents/overtaken').filter({ hasText: 'add_note' })
  await told.waitFor()
  await page.evaluate('letGo_()')
  await rowOf('agents/marked').filter({ hasText: 'the-late-answer' }).waitFor()
  assert.equal(await told.count(), 1)
  await agent.close()
})

test('what happened before the stream of events began is not missed', { skip }, async () => {
  await site.agent('/agents/there')
  const stream = await hold(/\/v1\/events$/, (route) => route.continue())
  await page.goto(`${site.url}/sessions`)
  await stream.come
  await rowOf('agents/there').waitFor()
  await site.agent('/agents/between')
  stream.letGo()
  await rowOf('agents/between').waitFor()
  nothingWrong(tab.complaints)
})
