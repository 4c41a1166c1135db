// Sign-in on a free loopback port, with a browser that keeps cookies and sends what browsers send.
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Koa, { type Context } from 'koa'
import type { AuditRecord } from '../../src/audit/record.ts'
import type { Documents } from '../../src/ledger/documents.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { memoryDocuments } from '../../src/ledger/memory-documents.ts'
import { newKeys, openKeys, type SigningKeys } from '../../src/mint/keys.ts'
import { Refusal } from '../../src/refusal.ts'
import type { Subject } from '../../src/revocation/target.ts'
import type { Admin, Role, SignIn } from '../../src/sign-in/admin.ts'
import { AdminRefusal } from '../../src/sign-in/admin-refusal.ts'
import type { SignInOptions } from '../../src/sign-in/options.ts'
import { createSignIn } from '../../src/sign-in/sign-in.ts'
import { SoftwarePasskey, type Twist } from './authenticator.ts'

export interface Site {
  readonly url: string
  readonly rpId: string
  readonly origin: string
  readonly signIn: SignIn & { firstLink(): Promise<string | undefined> }
  readonly documents: Documents
  readonly keys: SigningKeys
  readonly records: AuditRecord[]
  /** What `revocations.check` was asked, and what it throws. */
  readonly revoked: { checked: Subject[]; refuse: ((subject: Subject) => void) | undefined }
  /** Moves the clock of sign-in on. */
  passSeconds(seconds: number): void
  now(): number
  close(): Promise<void>
}

export const LOCAL: Admin = {
  id: 'local:root',
  name: 'root',
  kind: 'local',
  role: 'admin',
  touchedAt: undefined,
  csrf: undefined,
}

export async function startSite(options: Partial<SignInOptions> = {}): Promise<Site> {
  let ahead = 0
  const now = () => Date.now() / 1000 + ahead
  const directory = await mkdtemp(join(tmpdir(), 'writ-sign-in-'))
  await newKeys(join(directory, 'keys'), 'ES256', now())
  const keys = await openKeys(join(directory, 'keys'), { now: now() })
  // Made a minute ago, as far as it knows; see the server's fixture.
  let age = 60
  const ledger = memoryLedger({ role: 'broker', clock: () => Date.now() / 1000 - age + ahead })
  age = 0
  await ledger.open()
  const documents = memoryDocuments({ clock: now, isOpen: () => true })
  const records: AuditRecord[] = []
  const revoked: Site['revoked'] = { checked: [], refuse: undefined }

  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://localhost:${(server.address() as AddressInfo).port}`
  const signIn = await createSignIn({
    url,
    rpName: 'Writ test',
    documents,
    ledger,
    audit: { record: async (record) => void records.push(record) },
    keys,
    issuer: 'https://broker.example',
    revocations: {
      check(subject) {
        revoked.checked.push(subject)
        revoked.refuse?.(subject)
      },
    },
    clients: [],
    clock: now,
    ...options,
  })
  const koa = new Koa()
  koa.silent = true
  koa.use(signIn.routes)
  koa.use(async (ctx) => await answerMe(ctx, signIn))
  server.on('request', koa.callback())
  return {
    url,
    rpId: 'localhost',
    origin: url,
    signIn,
    documents,
    keys,
    records,
    revoked,
    now,
    passSeconds(seconds) {
      ahead += seconds
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      keys.close()
      await ledger.close()
      await rm(directory, { recursive: true })
    },
  }
}

/** What the admin API does with whoever asks, and no more. */
async function answerMe(ctx: Context, signIn: SignIn): Promise<void> {
  try {
    ctx.body = await signIn.authenticate(ctx)
  } catch (error) {
    if (!(error instanceof AdminRefusal || error instanceof Refusal)) throw error
    ctx.status = error instanceof Refusal ? 503 : 401
    ctx.body = { ...error.reason }
  }
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly body: Record<string, unknown>
}

export interface Request {
  readonly method?: string
  readonly headers?: Record<string, string | string[]>
  readonly json?: unknown
  readonly form?: Record<string, string>
  /** Of loopback, from where it comes; limits are counted by it. */
  readonly address?: string
}

/** One request with exactly these headers. */
export function send(url: string, request: Request = {}): Promise<Answer> {
  const { json, form } = request
  const body =
    json === undefined
      ? form === undefined
        ? undefined
        : new URLSearchParams(form).toString()
      : JSON.stringify(json)
  const type = json === undefined ? 'application/x-www-form-urlencoded' : 'application/json'
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const sent = httpRequest(
    url,
    {
      method: request.method ?? (body === undefined ? 'GET' : 'POST'),
      // Node 24 would try both families for `localhost`; the server listens on one.
      family: 4,
      localAddress: request.address,
      agent: false,
      headers: { ...(body === undefined ? {} : { 'content-type': type }), ...request.headers },
    },
    (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          text,
          body: text.startsWith('{') ? JSON.parse(text) : {},
        })
      })
    },
  )
  sent.on('error', reject)
  sent.end(body)
  return promise
}

let addresses = 0
/** Each browser has its own. */
function nextAddress(): string {
  addresses += 1
  return `127.1.${addresses >> 8}.${addresses & 255}`
}

/** Keeps cookies by path, follows nothing by itself, and says where a request came from. */
export class Browser {
  readonly cookies = new Map<string, { value: string; path: string }>()
  readonly #site: Pick<Site, 'url'>
  readonly #address: string

  constructor(site: Pick<Site, 'url'>, address = nextAddress()) {
    this.#site = site
    this.#address = address
  }

  cookieHeader(path: string): string {
    return [...this.cookies]
      .filter(
        ([, cookie]) =>
          cookie.path === '/' || path === cookie.path || path.startsWith(`${cookie.path}/`),
      )
      .map(([name, { value }]) => `${name}=${value}`)
      .join('; ')
  }

  /** What the address bar, a link or a redirect does. */
  open(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send(path, {
      headers: { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', ...headers },
    })
  }

  /** What a script of our own page does. */
  post(path: string, json: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send(path, { json, headers: { ...this.ours(), ...headers } })
  }

  /** What a form of our own page does. */
  submit(path: string, form: Record<string, string>): Promise<Answer> {
    return this.send(path, { form, headers: { ...this.ours(), 'sec-fetch-mode': 'navigate' } })
  }

  ours(): Record<string, string> {
    return { origin: this.#site.url, 'sec-fetch-site': 'same-origin' }
  }

  async send(path: string, request: Request): Promise<Answer> {
    const cookie = this.cookieHeader(path.split('?')[0]!)
    const headers = { ...(cookie === '' ? {} : { cookie }), ...request.headers }
    const sent = { ...request, headers, address: this.#address }
    const answer = await send(`${this.#site.url}${path}`, sent)
    for (const line of answer.headers['set-cookie'] ?? []) this.#keep(line)
    return answer
  }

  #keep(line: string): void {
    const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
    const at = pair.indexOf('=')
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)]
    const path = attributes.find((each) => /^path=/i.test(each))?.slice(5) ?? '/'
    const over = value === '' || attributes.some((each) => /^max-age=0$/i.test(each))
    if (over) this.cookies.delete(name)
    else this.cookies.set(name, { value, path })
  }
}

export const pathOf = (site: Pick<Site, 'url'>, url: unknown): string => {
  const { origin, pathname, search } = new URL(String(url), site.url)
  if (origin !== site.url) throw new Error(`${url} is elsewhere`)
  return pathname + search
}

/** Enrols a passkey with a link, as the page's script does. */
export async function enrol(
  site: Site,
  url: string,
  passkey = new SoftwarePasskey(site),
  twist: Twist = {},
  name = 'Robin Ito',
): Promise<{ passkey: SoftwarePasskey; answer: Answer; person: string }> {
  const link = new URL(url).hash.slice(1)
  const browser = new Browser(site)
  const begun = await browser.post('/sign-in/enrol/options', { link, name })
  if (begun.status !== 200) return { passkey, answer: begun, person: '' }
  const credential = passkey.create(begun.body.options as Record<string, unknown>, twist)
  const said = { link, name, credential, label: 'Laptop' }
  const answer = await browser.post('/sign-in/enrol/finish', said)
  const person = Buffer.from(passkey.userHandle ?? '', 'base64url').toString()
  return { passkey, answer, person }
}

/** Somebody of a role, with a passkey: the first one by the first link. */
export async function newPerson(site: Site, role: Role, name = `A ${role}`) {
  const first = await site.signIn.firstLink()
  const url =
    role === 'admin' && first !== undefined
      ? first
      : (await site.signIn.people.invite({ name, role }, LOCAL)).url
  return await enrol(site, url)
}

/** From the address bar to the passkey page: where the browser is then. */
export async function reachPasskeyPage(browser: Browser, site: Site, path = '/sign-in') {
  let at = path
  for (let hops = 0; hops < 4; hops++) {
    const answer = await browser.open(at)
    if (answer.status !== 303) return { path: at, answer }
    at = pathOf(site, answer.headers.location)
  }
  throw new Error('no page was reached')
}

/** The passkey step; answers what the script is told. */
export async function touch(browser: Browser, page: string, passkey: SoftwarePasskey, twist = {}) {
  const { body } = await browser.post(`${page}/options`, {})
  const credential = passkey.get(body.options as Record<string, unknown>, twist)
  return await browser.post(`${page}/finish`, { credential })
}

/** The whole sign-in of the console. */
export async function signInBrowser(
  site: Site,
  passkey: SoftwarePasskey,
  browser = new Browser(site),
) {
  const { path } = await reachPasskeyPage(browser, site)
  const touched = await touch(browser, path, passkey)
  if (touched.status !== 200) throw new Error(`the passkey was refused: ${touched.text}`)
  const back = await browser.open(pathOf(site, touched.body.location))
  const done = await browser.open(pathOf(site, back.headers.location))
  return { browser, done, callback: pathOf(site, back.headers.location) }
}

/** Who the browser is, as the admin API sees it. */
export const me = (browser: Browser, headers: Record<string, string> = {}) =>
  browser.send('/v1/me', { headers: { 'sec-fetch-site': 'same-origin', ...headers } })

/** For `assert.rejects`: the sign-in's own refusal, with this code. */
export const refusedWith = (code: string) => (error: unknown) =>
  error instanceof AdminRefusal && error.reason.code === code
