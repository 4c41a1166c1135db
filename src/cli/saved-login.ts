/**
 * A saved sign-in as something to ask with: an access token that is good, renewed when it is not.
 * Renewing changes the refresh token, so it is done by one command at a time, and what another one has
 * got in the meantime is taken instead.
 */
import { generateKeyPairSync } from 'node:crypto'
import type { JsonObject } from '../lib/json.ts'
import { importSenderKey, type SenderKey } from '../token/proof.ts'
import { CliError } from './answer.ts'
import { type Prompt, signInByDevice, tokensOf } from './device-flow.ts'
import { type Login, readLogins, whileLoginsLocked, withLogin, writeLogins } from './login-file.ts'
import { CLI_CLIENT, discover, post } from './oauth.ts'

/** Not so close to its end that it is over when it arrives. */
const SPARE_SECONDS = 30

export interface SavedLogin {
  readonly url: string
  readonly key: SenderKey
  /**
   * An access token that should be good.
   *
   * @param refused the one that was just not accepted, so that it is not given again
   * @throws {CliError} refused, when the sign-in is over; unavailable
   */
  accessToken(refused?: string): Promise<string>
  /** Signs in anew under the same key: a passkey is touched now. */
  signInAgain(show: (prompt: Prompt) => void): Promise<void>
}

/** @throws {CliError} refused, when nobody is signed in there */
export async function openSavedLogin(directory: string, url: string): Promise<SavedLogin> {
  const { logins } = await readLogins(directory)
  let login = logins.find((one) => one.url === url) ?? over(url, 'nobody is signed in')
  const key = importSenderKey(login.key)
  return {
    url,
    key,
    async accessToken(refused) {
      if (isGood(login, refused)) return login.accessToken
      await whileLoginsLocked(directory, async () => {
        const saved = await readLogins(directory)
        login = saved.logins.find((one) => one.url === url) ?? over(url, 'nobody is signed in')
        if (importSenderKey(login.key).jkt !== key.jkt) over(url, 'somebody signed in anew')
        if (isGood(login, refused)) return
        login = await renew(login, key)
        await writeLogins(directory, { ...withLogin(saved, login), current: saved.current })
      })
      return login.accessToken
    },
    async signInAgain(show) {
      const tokens = await signInByDevice({ url, scope: login.scope, key, show })
      login = { ...login, ...tokens, signedInAt: Math.floor(Date.now() / 1000) }
      await whileLoginsLocked(directory, async () => {
        const saved = await readLogins(directory)
        await writeLogins(directory, { ...withLogin(saved, login), current: saved.current })
      })
    },
  }
}

function isGood({ accessToken, accessUntil }: Login, refused: string | undefined): boolean {
  return accessToken !== refused && Date.now() / 1000 < accessUntil - SPARE_SECONDS
}

async function renew(login: Login, key: SenderKey): Promise<Login> {
  const { url, refreshToken, scope } = login
  const { token } = await discover(url)
  const form = {
    grant_type: 'refresh_token',
    client_id: CLI_CLIENT,
    refresh_token: refreshToken,
    resource: url,
  }
  const { body, error } = await post(token, form, key)
  if (error === 'invalid_grant') over(url, 'your sign-in is over')
  if (error === 'slow_down') throw new CliError('unavailable', `${url} wants to be asked later`)
  if (error !== undefined) throw new CliError('refused', `${url} did not renew your sign-in`)
  return { ...login, ...tokensOf({ refresh_token: refreshToken, ...body }, scope, url) }
}

function over(url: string, why: string): never {
  throw new CliError('refused', `${why} at ${url}`, { hint: `run writ login --url ${url}` })
}

/** A key for one sign-in; it is in the file and nowhere else. */
export function newLoginKey(): { readonly jwk: JsonObject; readonly key: SenderKey } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = privateKey.export({ format: 'jwk' }) as JsonObject
  return { jwk, key: importSenderKey(privateKey) }
}
