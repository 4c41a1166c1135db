import { hash } from 'node:crypto'

/**
 * The ledger's name for an action token: by issuer, resource and `jti`, never by its text, which has
 * many spellings. The verifiers of the resource spend it, the broker reads whether it is spent.
 */
export function spendIdOf(token: {
  readonly issuer: string
  readonly resource: string
  readonly jti: string
}): string {
  const name = JSON.stringify([token.issuer, token.resource, token.jti])
  return `t:${hash('sha256', name, 'base64url')}`
}
