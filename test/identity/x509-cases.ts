// All chains, good ones and one for each way to be bad. The prover and OpenSSL are asked about each.
import { BAD_FORMS } from './x509-bad-form.ts'
import { BAD_LEAVES } from './x509-bad-leaf.ts'
import { BAD_PATHS } from './x509-bad-path.ts'

export { GOOD } from './x509-good.ts'
export { type ChainCase, CORP, OTHER } from './x509-scene.ts'

export const BAD = [...BAD_LEAVES, ...BAD_PATHS, ...BAD_FORMS]
