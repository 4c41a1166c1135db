/**
 * Passkey ceremonies (WebAuthn Level 3 §7.1, §7.2). What is asked for beyond the defaults: the key is
 * discoverable, the person was verified, the page was not framed by another origin, and whether a
 * passkey can be backed up never changes.
 */
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server'
import { Refusal } from '../refusal.ts'
import { refuseAdmin } from './admin-refusal.ts'
import type { Site } from './options.ts'
import type { StoredPasskey } from './person.ts'

/** EdDSA, ES256, RS256, as COSE numbers them. */
const ALGORITHMS = [-8, -7, -257]
const TIMEOUT_MS = 120_000

/** An eighth of a broker's start, so it is loaded with the first sign-in. */
const library = () => import('@simplewebauthn/server')

/** Takes the challenge that an answer names, and says whether it was given for this. */
export type TakeChallenge = (challenge: string) => Promise<boolean>

/** What `navigator.credentials.create` is given, as JSON. */
export async function creationOptions(
  site: Site,
  person: { readonly id: string; readonly name: string },
  challenge: string,
  existing: readonly StoredPasskey[],
): Promise<Record<string, unknown>> {
  const { generateRegistrationOptions } = await library()
  return {
    ...(await generateRegistrationOptions({
      rpID: site.rpId,
      rpName: site.rpName,
      userName: person.name,
      userDisplayName: person.name,
      userID: new Uint8Array(Buffer.from(person.id)),
      challenge: new Uint8Array(Buffer.from(challenge, 'base64url')),
      timeout: TIMEOUT_MS,
      attestationType: 'none',
      excludeCredentials: existing.map(({ credentialId }) => ({ id: credentialId })),
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
      supportedAlgorithmIDs: ALGORITHMS,
    })),
  }
}

/** What `navigator.credentials.get` is given, as JSON; any passkey of this place when none is named. */
export async function requestOptions(
  site: Site,
  challenge: string,
  passkeys: readonly StoredPasskey[] = [],
): Promise<Record<string, unknown>> {
  const { generateAuthenticationOptions } = await library()
  return {
    ...(await generateAuthenticationOptions({
      rpID: site.rpId,
      challenge: new Uint8Array(Buffer.from(challenge, 'base64url')),
      timeout: TIMEOUT_MS,
      userVerification: 'required',
      allowCredentials: passkeys.map(({ credentialId }) => ({ id: credentialId })),
    })),
  }
}

export type NewPasskey = Pick<
  StoredPasskey,
  'credentialId' | 'publicKey' | 'counter' | 'backupEligible' | 'backedUp'
>

/** @throws {AdminRefusal} passkey_refused */
export async function verifyCreation(
  site: Site,
  response: RegistrationResponseJSON,
  take: TakeChallenge,
): Promise<NewPasskey> {
  checkNotFramed(response.response.clientDataJSON)
  const { verifyRegistrationResponse } = await library()
  const { verified, registrationInfo } = await refusing(() =>
    verifyRegistrationResponse({
      response,
      expectedChallenge: take,
      expectedOrigin: site.origin,
      expectedRPID: site.rpId,
      requireUserVerification: true,
      supportedAlgorithmIDs: ALGORITHMS,
    }),
  )
  if (!verified) refusePasskey('attestation')
  const { credential, credentialDeviceType, credentialBackedUp } = registrationInfo
  if (credential.id !== response.id) refusePasskey('credential')
  return {
    credentialId: credential.id,
    publicKey: Buffer.from(credential.publicKey).toString('base64url'),
    counter: credential.counter,
    backupEligible: credentialDeviceType === 'multiDevice',
    backedUp: credentialBackedUp,
  }
}

/**
 * @returns what has changed of the passkey
 * @throws {AdminRefusal} passkey_refused
 */
export async function verifyAssertion(
  site: Site,
  response: AuthenticationResponseJSON,
  passkey: StoredPasskey,
  take: TakeChallenge,
): Promise<Pick<StoredPasskey, 'counter' | 'backedUp'>> {
  checkNotFramed(response.response.clientDataJSON)
  const { verifyAuthenticationResponse } = await library()
  const { verified, authenticationInfo } = await refusing(() =>
    verifyAuthenticationResponse({
      response,
      expectedChallenge: take,
      expectedOrigin: site.origin,
      expectedRPID: site.rpId,
      requireUserVerification: true,
      credential: {
        id: passkey.credentialId,
        publicKey: new Uint8Array(Buffer.from(passkey.publicKey, 'base64url')),
        counter: passkey.counter,
      },
    }),
  )
  if (!verified) refusePasskey('signature')
  const { newCounter, credentialDeviceType, credentialBackedUp } = authenticationInfo
  if ((credentialDeviceType === 'multiDevice') !== passkey.backupEligible) refusePasskey('backup')
  return { counter: newCounter, backedUp: credentialBackedUp }
}

export function refusePasskey(check: string, cause?: unknown): never {
  refuseAdmin({ code: 'passkey_refused', check }, cause)
}

/** The library looks at frames only when the browser says which page is outermost. */
function checkNotFramed(clientDataJSON: string): void {
  let data: unknown
  try {
    data = JSON.parse(Buffer.from(clientDataJSON, 'base64url').toString())
  } catch {
    refusePasskey('client_data')
  }
  if (typeof data !== 'object' || data === null) refusePasskey('client_data')
  const { crossOrigin, topOrigin } = data as { crossOrigin?: unknown; topOrigin?: unknown }
  if (crossOrigin === true || topOrigin !== undefined) refusePasskey('framed')
}

/** Its messages quote what was sent, so they stay a cause and which check it was is told apart. */
const CHECKS: readonly (readonly [RegExp, string])[] = [
  [/verified|verification required/i, 'user_verification'],
  [/present/i, 'user_presence'],
  [/counter/i, 'counter'],
  [/challenge/i, 'challenge'],
  [/origin/i, 'origin'],
  [/RP ?ID/i, 'rp_id'],
  [/type/i, 'type'],
  [/alg/i, 'algorithm'],
]

async function refusing<T>(verify: () => Promise<T>): Promise<T> {
  try {
    return await verify()
  } catch (error) {
    // The store could not be asked for the challenge: nothing that the sender did.
    if (!(error instanceof Error) || error instanceof Refusal) throw error
    const words = `${error.name} ${error.message}`
    const check = CHECKS.find(([pattern]) => pattern.test(words))?.[1] ?? 'response'
    return refusePasskey(check, error)
  }
}
