import type { Binding } from './claims.ts'

/** One name for each key: thumbprints of certificates are marked, so that the kinds cannot meet. */
export function keyName(binding: Binding): string {
  return 'jkt' in binding ? binding.jkt : `x5t#S256:${binding['x5t#S256']}`
}
