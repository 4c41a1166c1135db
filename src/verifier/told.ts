import { Refusal } from '../refusal.ts'
import { Nonces, readNonceSecret } from '../token/nonce.ts'
import { type Definitions, definitionsOf, readDefinitions } from './definitions.ts'
import type { VerifierOptions } from './options.ts'

/** What the options may leave in files, which `ready()` reads. */
export interface Told {
  readonly definitions: Definitions
  readonly nonces: Nonces | undefined
  /** Throws while something is still unread: a request that comes too early is refused. */
  check(): void
  read(): Promise<void>
}

/** @throws {TypeError} */
export function toldOf({ resource, definitions: given, dpop }: VerifierOptions): Told {
  const file = typeof given === 'object' && 'file' in given ? given.file : undefined
  let unread = file !== undefined || dpop?.nonceSecretFile !== undefined
  let definitions: Definitions
  if (Array.isArray(given)) definitions = definitionsOf(given)
  else if (given !== 'unchecked' && file === undefined) {
    throw new TypeError("definitions: required, a list of tools, { file } or 'unchecked'")
  }
  let nonces = dpop?.nonceSecret === undefined ? undefined : new Nonces(dpop.nonceSecret)
  return {
    get definitions() {
      return definitions
    },
    get nonces() {
      return nonces
    },
    check() {
      if (unread) throw new Refusal({ code: 'keys_unavailable', detail: 'not ready yet' })
    },
    async read() {
      if (file !== undefined) definitions = await readDefinitions(file, resource)
      if (dpop?.nonceSecretFile !== undefined) {
        nonces = new Nonces(await readNonceSecret(dpop.nonceSecretFile))
      }
      unread = false
    },
  }
}
