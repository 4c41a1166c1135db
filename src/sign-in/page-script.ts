/**
 * The one script of the sign-in pages. It is written here as a function, so that it is checked like
 * everything else, and served as its text: it may use nothing from outside itself.
 */

interface Element {
  textContent: string
  hidden: boolean
  disabled: boolean
  value: string
  className: string
  focus(): void
  addEventListener(event: string, listener: (event: { preventDefault(): void }) => void): void
}

interface Credentials {
  parseCreationOptionsFromJSON(options: unknown): unknown
  parseRequestOptionsFromJSON(options: unknown): unknown
}

interface Browser {
  readonly document: {
    readonly body: { readonly dataset: { readonly work?: string } }
    getElementById(id: string): Element | null
  }
  readonly location: { hash: string; pathname: string; search: string; assign(url: string): void }
  readonly history: { replaceState(state: null, unused: string, url: string): void }
  readonly navigator: {
    readonly credentials: {
      create(options: object): Promise<{ toJSON(): unknown } | null>
      get(options: object): Promise<{ toJSON(): unknown } | null>
    }
  }
  readonly PublicKeyCredential?: Credentials
  fetch(url: string, options: object): Promise<{ ok: boolean; json(): Promise<unknown> }>
}

function page(): void {
  const browser = globalThis as unknown as Browser
  const { document, location, history, navigator } = browser
  const byId = (id: string) => document.getElementById(id)
  const work = document.body.dataset.work
  const button = byId('go')
  const first = byId('code') ?? byId('title')
  first?.focus()
  if (work === '' || work === undefined || button === null) return

  const say = (text: string, bad: boolean) => {
    const status = byId('status')
    if (status === null) return
    status.className = bad ? 'status bad' : 'status'
    status.textContent = text
  }

  async function post(path: string, body: object): Promise<Record<string, unknown>> {
    const answer = await browser.fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
    const json = (await answer.json()) as Record<string, unknown>
    if (!answer.ok) throw new Error(String(json.detail ?? 'Something went wrong. Try again.'))
    return json
  }

  function why(error: unknown): string {
    const { name, message } = error as { name?: string; message?: string }
    if (name === 'NotAllowedError') return 'No passkey was used. Try again when you are ready.'
    if (name === 'InvalidStateError') return 'This device has a passkey for you already.'
    if (name === 'SecurityError') return 'Passkeys do not work at this address.'
    return message ?? 'Something went wrong. Try again.'
  }

  function onPress(act: () => Promise<void>, waiting: string): void {
    button!.addEventListener('click', (event) => {
      event.preventDefault()
      button!.disabled = true
      say(waiting, false)
      act()
        .catch((error: unknown) => say(why(error), true))
        .finally(() => {
          button!.disabled = false
        })
    })
  }

  async function signIn(key: Credentials): Promise<void> {
    const here = location.pathname
    const { options } = await post(`${here}/options`, {})
    const publicKey = key.parseRequestOptionsFromJSON(options)
    const credential = await navigator.credentials.get({ publicKey })
    const { location: next } = await post(`${here}/finish`, { credential: credential?.toJSON() })
    say('You are signed in.', false)
    location.assign(String(next))
  }

  const link = location.hash.slice(1)
  async function enrol(key: Credentials): Promise<void> {
    const field = byId('name')
    const name = field?.value ?? ''
    if (byId('naming')?.hidden === false && name.trim() === '') {
      field?.focus()
      throw new Error('Say your name first: what you do is on record under it.')
    }
    const label = byId('label')?.value ?? ''
    const { options } = await post('/sign-in/enrol/options', { link, name })
    const publicKey = key.parseCreationOptionsFromJSON(options)
    const credential = (await navigator.credentials.create({ publicKey }))?.toJSON()
    await post('/sign-in/enrol/finish', { link, name, label, credential })
    show('ask', false)
    show('done', true)
    say('', false)
    byId('next')?.focus()
  }

  async function introduce(): Promise<void> {
    const { name, role, first } = await post('/sign-in/enrol/options', { link })
    for (const [id, text] of [
      ['who', first === true ? 'you, the first one here' : name],
      ['role', role],
    ] as const) {
      const part = byId(id)
      if (part !== null) part.textContent = String(text)
    }
    show('naming', first === true)
    show('ask', true)
    if (first === true) byId('name')?.focus()
  }

  function show(id: string, shown: boolean): void {
    const part = byId(id)
    if (part !== null) part.hidden = !shown
  }

  const key = browser.PublicKeyCredential
  if (key === undefined || typeof key.parseRequestOptionsFromJSON !== 'function') {
    button.disabled = true
    say('This browser has no passkeys, or is too old for them.', true)
    return
  }
  if (work === 'sign-in') onPress(() => signIn(key), 'Waiting for your passkey …')
  if (work === 'enrol') {
    // The secret leaves the address bar and the history before anything else happens.
    history.replaceState(null, '', location.pathname)
    onPress(() => enrol(key), 'Waiting for your device …')
    introduce().catch((error: unknown) => say(why(error), true))
  }
  byId('cancel')?.addEventListener('click', (event) => {
    event.preventDefault()
    post(`${location.pathname}/cancel`, {})
      .then(({ location: next }) => location.assign(String(next)))
      .catch((error: unknown) => say(why(error), true))
  })
}

export const PAGE_SCRIPT = `(${page.toString()})()\n`
