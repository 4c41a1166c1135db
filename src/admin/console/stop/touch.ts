/** A touch of a passkey for one exact action, with what the API asks for and takes: JSON both ways. */
import { ApiProblem, ask } from '../api/client.ts'
import type { TouchRequest } from '../api/types.ts'

interface Options {
  readonly challenge: string
  readonly timeout?: number
  readonly rpId?: string
  readonly userVerification?: UserVerificationRequirement
  readonly allowCredentials?: readonly {
    readonly id: string
    readonly type?: 'public-key'
    readonly transports?: readonly AuthenticatorTransport[]
  }[]
}

/**
 * @param signal takes back the question: nothing is done by a touch that comes later
 * @throws {ApiProblem} when the API says no, or nobody touched a passkey; what it was aborted with
 */
export async function touchFor(action: TouchRequest, signal: AbortSignal): Promise<unknown> {
  const options = await ask<Options>('/touch', { method: 'POST', body: action, signal })
  const { challenge, allowCredentials = [], ...rest } = options
  const credential = await navigator.credentials
    .get({
      signal,
      publicKey: {
        ...rest,
        challenge: bytesOf(challenge),
        allowCredentials: allowCredentials.map(({ id, transports }) => ({
          type: 'public-key',
          id: bytesOf(id),
          ...(transports === undefined ? {} : { transports: [...transports] }),
        })),
      },
    })
    .catch(() => null)
  signal.throwIfAborted()
  if (!(credential instanceof PublicKeyCredential)) {
    throw new ApiProblem({
      status: 0,
      code: 'touch_required',
      title: 'The passkey was not touched; nothing was done',
    })
  }
  const response = credential.response as AuthenticatorAssertionResponse
  return {
    id: credential.id,
    rawId: credential.id,
    type: credential.type,
    ...(credential.authenticatorAttachment === null
      ? {}
      : { authenticatorAttachment: credential.authenticatorAttachment }),
    clientExtensionResults: credential.getClientExtensionResults(),
    response: {
      clientDataJSON: textOf(response.clientDataJSON),
      authenticatorData: textOf(response.authenticatorData),
      signature: textOf(response.signature),
      ...(response.userHandle === null ? {} : { userHandle: textOf(response.userHandle) }),
    },
  }
}

function bytesOf(base64url: string): Uint8Array<ArrayBuffer> {
  const binary = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0))
}

function textOf(bytes: ArrayBuffer): string {
  const binary = String.fromCharCode(...new Uint8Array(bytes))
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
