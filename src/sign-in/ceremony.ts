/** A touch of a passkey by somebody who is enrolled: who it was, believed only after every check. */
import { hash } from 'node:crypto'
import { encodeBase64url } from '../lib/base64url.ts'
import type { Admin, Touch } from './admin.ts'
import { AdminRefusal, refuseAdmin } from './admin-refusal.ts'
import type { Challenges } from './challenges.ts'
import type { Site } from './options.ts'
import type { PersonStore, StoredPasskey } from './person.ts'
import { newSecret } from './secret.ts'
import type { Trail } from './trail.ts'
import { refusePasskey, requestOptions, type TakeChallenge, verifyAssertion } from './webauthn.ts'
import { parseAssertion } from './webauthn-input.ts'

export interface CeremonyParts {
  readonly site: Site
  readonly people: PersonStore
  readonly challenges: Challenges
  readonly trail: Trail
  readonly clock: () => number
}

/**
 * @returns the person's id
 * @throws {AdminRefusal} passkey_refused
 */
export async function proveTouch(
  { site, people, clock }: Pick<CeremonyParts, 'site' | 'people' | 'clock'>,
  assertion: unknown,
  take: TakeChallenge,
  /** Of whom a passkey was asked for; without it any was, so the passkey has to say whose it is. */
  expected?: string,
): Promise<string> {
  const response = parseAssertion(assertion)
  const id = await people.byCredential(response.id)
  const person = id === undefined ? undefined : await people.get(id)
  const passkey = person && passkeyOf(person.passkeys, response.id)
  if (id === undefined || passkey === undefined) return refusePasskey('unknown')
  if (expected !== undefined && id !== expected) refusePasskey('person')
  // WebAuthn §7.2 step 6: a passkey that was asked for by name may leave it out.
  const handle = response.response.userHandle ?? (expected && encodeBase64url(expected))
  if (handle !== encodeBase64url(id)) refusePasskey('user_handle')
  const changed = await verifyAssertion(site, response, passkey, take)
  await people.change(id, (there) => {
    const now = passkeyOf(there.passkeys, response.id) ?? refusePasskey('unknown')
    // Two uses at once, of which one has counted already.
    if (changed.counter > 0 && changed.counter <= now.counter) refusePasskey('counter')
    const used = { ...now, ...changed, lastUsedAt: Math.floor(clock()) }
    return { ...there, passkeys: there.passkeys.map((each) => (each.id === now.id ? used : each)) }
  })
  return id
}

function passkeyOf(passkeys: readonly StoredPasskey[], credentialId: string) {
  return passkeys.find((each) => each.credentialId === credentialId)
}

/**
 * The challenge is a hash over the action's hash and something new each time. The hash alone would let
 * an answer be played again when the same action is asked for once more.
 */
export function createTouch(parts: CeremonyParts): Touch {
  const { site, people, challenges, trail } = parts
  const bindingOf = (person: string, actionHash: string) => `${person} ${actionHash}`

  function personOf(admin: Admin): string {
    if (admin.kind !== 'person') return refuseAdmin({ code: 'touch_required' })
    return admin.id.slice('person:'.length)
  }

  return {
    async options(admin, actionHash) {
      const id = personOf(admin)
      const person = await people.get(id)
      if (person === undefined) return refuseAdmin({ code: 'signin_required', why: 'ended' })
      const challenge = hash('sha256', `${newSecret()} ${actionHash}`, 'base64url')
      await challenges.create('touch', bindingOf(id, actionHash), challenge)
      return await requestOptions(site, challenge, person.passkeys)
    },

    async verify(admin, actionHash, assertion) {
      const id = personOf(admin)
      try {
        const take = (challenge: string) =>
          challenges.take(challenge, 'touch', bindingOf(id, actionHash))
        await proveTouch(parts, assertion, take, id)
      } catch (error) {
        if (!(error instanceof AdminRefusal)) throw error
        await trail.refused(error.reason, { principal: admin.id, evidence: { actionHash } })
        refuseAdmin({ code: 'touch_required' }, error)
      }
      await trail.event('passkey_touched', { principal: admin.id, evidence: { actionHash } })
    },
  }
}
