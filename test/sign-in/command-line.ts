// The command line's half of the device flow: a key, its proofs, and the three endpoints.
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'
import type { SoftwarePasskey } from './authenticator.ts'
import { type Answer, Browser, pathOf, type Site, send, touch } from './site.ts'

export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly token_type: string
  readonly expires_in: number
}

export class CommandLine {
  readonly key: SenderKey
  readonly #site: Site

  constructor(site: Site, key = generateSenderKey()) {
    this.#site = site
    this.key = key
  }

  proof(path: string, method = 'POST', accessToken?: string): string {
    const url = `${this.#site.url}${path}`
    return makeProof(this.key, { method, url, now: this.#site.now(), accessToken })
  }

  post(path: string, form: Record<string, string>, proof?: string): Promise<Answer> {
    return send(`${this.#site.url}${path}`, {
      form: { client_id: 'writ-cli', ...form },
      headers: { dpop: proof ?? this.proof(path), 'user-agent': 'writ/1 (test)' },
    })
  }

  ask(scope = 'writ:admin', more: Record<string, string> = {}): Promise<Answer> {
    return this.post('/oauth/device_authorization', { scope, ...more })
  }

  poll(deviceCode: string, proof?: string): Promise<Answer> {
    const form = { grant_type: DEVICE_GRANT, device_code: deviceCode }
    return this.post('/oauth/token', form, proof)
  }

  refresh(token: string): Promise<Answer> {
    return this.post('/oauth/token', { grant_type: 'refresh_token', refresh_token: token })
  }

  /** Asks the admin side who this is. */
  me(accessToken: string, proof?: string): Promise<Answer> {
    return send(`${this.#site.url}/v1/me`, {
      headers: {
        authorization: `DPoP ${accessToken}`,
        dpop: proof ?? this.proof('/v1/me', 'GET', accessToken),
      },
    })
  }

  /** The whole flow: ask, let the person approve, collect. */
  async signIn(passkey: SoftwarePasskey, scope?: string): Promise<Tokens> {
    const { body } = await this.ask(scope)
    const done = await approve(this.#site, String(body.user_code), passkey)
    if (done.status !== 200) throw new Error(`not approved: ${done.text}`)
    const answer = await this.poll(String(body.device_code))
    if (answer.status !== 200) throw new Error(`no tokens: ${answer.text}`)
    return answer.body as unknown as Tokens
  }
}

const secretIn = (answer: Answer) => /name="xsrf" value="([0-9a-f]+)"/.exec(answer.text)?.[1] ?? ''

/** The person's half, up to the page that asks whether this is theirs. */
export async function confirmPage(site: Site, userCode: string, browser = new Browser(site)) {
  const input = await browser.open(`/sign-in/device?user_code=${userCode}`)
  const form = { xsrf: secretIn(input), user_code: userCode }
  return { browser, input, confirm: await browser.submit('/sign-in/device', form) }
}

export async function approve(
  site: Site,
  userCode: string,
  passkey: SoftwarePasskey,
  browser = new Browser(site),
): Promise<Answer> {
  const sent = await confirm(site, userCode, browser)
  if (sent.status !== 303) return sent
  const touched = await touch(browser, pathOf(site, sent.headers.location), passkey)
  if (touched.status !== 200) return touched
  return await browser.open(pathOf(site, touched.body.location))
}

async function confirm(site: Site, userCode: string, browser: Browser): Promise<Answer> {
  const { confirm: page } = await confirmPage(site, userCode, browser)
  const form = { xsrf: secretIn(page), user_code: userCode, confirm: 'yes' }
  return await browser.submit('/sign-in/device', form)
}

/** The person has said yes: where the passkey is asked for. */
export async function confirmed(site: Site, userCode: string, browser: Browser): Promise<string> {
  const { headers } = await confirm(site, userCode, browser)
  return pathOf(site, headers.location)
}
