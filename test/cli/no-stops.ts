// Stops that hit nothing, or could not be kept: whoever makes them is told the same, broker or not.
import { RESOURCE } from './site.ts'

/** Each: what follows `writ revoke`, and the end of what is said; the exit code is 2. */
export const NO_STOPS: readonly (readonly [args: readonly string[], said: string])[] = [
  [['agent:spiffe://corp.test'], 'is a trust domain; stop it as an issuer, or beneath it'],
  [[`server:${RESOURCE}/`], `is no server's resource; one is ${RESOURCE}`],
  [['before:4102444800'], 'is a time to come, and could not be undone'],
  [['task:a', 'task:a'], 'is there twice'],
  [['task:a', '--for', '200000d'], 'is too far off; leave it out'],
]
