/**
 * Who vouches for an id of a workload or a principal, as a target of kind `issuer` names it:
 * `spiffe://<trust domain>`, `oidc:<alias>` or `user:<alias>`; undefined for any other text.
 *
 * Neither a trust domain nor an alias can contain what ends it here, so no id can be made to look like
 * one of another issuer.
 */
export function issuerOf(id: string): string | undefined {
  if (id.startsWith('spiffe://')) {
    const end = id.indexOf('/', 9)
    return end < 0 ? id : id.slice(0, end)
  }
  if (!id.startsWith('oidc:') && !id.startsWith('user:')) return undefined
  const end = id.indexOf(':', 5)
  return end < 0 ? undefined : id.slice(0, end)
}
