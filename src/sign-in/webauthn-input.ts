/** What a browser sends of a ceremony, read strictly: only members that are used, each bounded. */
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server'
import { refusePasskey } from './webauthn.ts'

const BASE64URL = /^[A-Za-z0-9_-]+$/
const MAX_TEXT = 16 * 1024
/** WebAuthn §4: a credential id has at most 1023 bytes. */
const MAX_ID = 1364
/** §5.4.3: at most 64 bytes. */
const MAX_HANDLE = 86

/** @throws {AdminRefusal} passkey_refused */
export function parseAssertion(input: unknown): AuthenticationResponseJSON {
  const { id, response } = parseCredential(input)
  const { userHandle } = response
  return {
    id,
    rawId: id,
    type: 'public-key',
    clientExtensionResults: {},
    response: {
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
      ...(userHandle === undefined || userHandle === null
        ? {}
        : { userHandle: text(userHandle, MAX_HANDLE) }),
    },
  }
}

/** @throws {AdminRefusal} passkey_refused */
export function parseCreation(input: unknown): RegistrationResponseJSON {
  const { id, response } = parseCredential(input)
  return {
    id,
    rawId: id,
    type: 'public-key',
    clientExtensionResults: {},
    response: {
      clientDataJSON: text(response.clientDataJSON),
      attestationObject: text(response.attestationObject),
    },
  }
}

function parseCredential(input: unknown): { id: string; response: Record<string, unknown> } {
  const { id, rawId, type, response } = members(input)
  if (type !== 'public-key' || id !== rawId) refusePasskey('form')
  return { id: text(id, MAX_ID), response: members(response) }
}

function members(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refusePasskey('form')
  return value as Record<string, unknown>
}

function text(value: unknown, limit = MAX_TEXT): string {
  if (typeof value !== 'string' || value.length > limit || !BASE64URL.test(value)) {
    refusePasskey('form')
  }
  return value
}
