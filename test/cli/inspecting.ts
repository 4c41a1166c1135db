// A site that trusts somebody of every kind, and credentials to inspect against it.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after } from 'node:test'
import type { Answer } from '../../src/cli/answer.ts'
import { inspectIdentity } from '../../src/cli/identity-inspect.ts'
import { openKeys } from '../../src/mint/keys.ts'
import { mintDelegation } from '../../src/mint/mint.ts'
import { signJws } from '../../src/token/jws.ts'
import { makeTrustSite, seconds } from './trust-site.ts'
import { temporaryDirectory } from './writ.ts'

export const cwd = await temporaryDirectory({ after })
export const site = await makeTrustSite({ after }, cwd)
// Paths of a configuration are relative to where a command runs.
const elsewhere = process.cwd()
process.chdir(cwd)
after(() => process.chdir(elsewhere))
const keys = await openKeys('keys', { now: seconds() })
export const own = keys.current(seconds())
keys.close()

export const jwtSvid = (changes: { audience?: string; now?: number; path?: string } = {}) =>
  site.domain.issueJwtSvid({
    path: '/agents/bot',
    audience: site.issuer,
    lifetimeSeconds: 300,
    now: seconds(),
    ...changes,
  })

export async function certificate(lifetimeSeconds = 300, now = seconds()): Promise<string> {
  const svid = await site.domain.issueX509Svid({ path: '/agents/bot', lifetimeSeconds, now })
  return svid.chainPem
}

export const THUMBPRINT = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I'
export const BOT = 'spiffe://corp.test/agents/bot'

export function delegation(changes: Record<string, unknown> = {}, key = own): string {
  const iat = seconds()
  const claims = {
    iss: site.issuer,
    aud: site.issuer,
    sub: 'user:staff:alice',
    client_id: BOT,
    act: { sub: BOT },
    may_act: { sub: 'spiffe://corp.test/agents/b' },
    cnf: { jkt: THUMBPRINT },
    authorization_details: [
      {
        type: 'mcp_ceiling',
        locations: ['http://127.0.0.1:4474/mcp'],
        actions: ['tools/call'],
        identifiers: ['transfer_funds'],
      },
    ],
    via: ['session-of-a'],
    sid: 'session-of-a',
    jti: 'd-1',
    iat,
    exp: iat + 300,
    ...changes,
  }
  return mintDelegation(claims as never, key)
}

export const ownAccessToken = () =>
  signJws(
    { typ: 'at+jwt' },
    { iss: site.issuer, aud: 'http://127.0.0.1:4474/mcp', sub: BOT, scope: 'mcp:action' },
    own,
  )

/** The text must be in no answer, and neither may a part of it that could be used. */
export function assertNothingLeaks(answer: Answer, credential: string): void {
  const said = `${answer.text}${JSON.stringify(answer.json)}`
  const parts = credential.includes('-----')
    ? [credential.split('\n')[1] ?? '', credential.split('\n')[2] ?? '']
    : credential.split('.')
  for (const part of parts.filter((one) => one.length > 8)) assert.ok(!said.includes(part))
}

export async function inspect(credential: string, withConfig = true): Promise<Answer> {
  const file = join(cwd, 'credential')
  await writeFile(file, credential)
  const options = withConfig ? { config: site.config } : {}
  const answer = await inspectIdentity(options, file, Date.now() / 1000)
  assertNothingLeaks(answer, credential)
  return answer
}
