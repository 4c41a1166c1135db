/** The Cedar engine, as a WebAssembly instance that can be thrown away. */
import { createRequire } from 'node:module'

export type Cedar = typeof import('@cedar-policy/cedar-wasm/nodejs')

const require = createRequire(import.meta.url)
const ENTRY = '@cedar-policy/cedar-wasm/nodejs'

/**
 * Makes a new instance, about 20 ms. An instance that has thrown once cannot be trusted again: its
 * memory is as the fault left it. The package makes one instance per load of its module, so the
 * module is forgotten first.
 */
export function loadCedar(): Cedar {
  delete require.cache[require.resolve(ENTRY)]
  return require(ENTRY) as Cedar
}
