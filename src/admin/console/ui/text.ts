/** Names as people read them; the whole is always in a title or on the page of the thing itself. */

/** `spiffe://corp.example/agents/bot` → `agents/bot` and what is before it. */
export function shortId(id: string): { readonly name: string; readonly of: string } {
  const spiffe = /^spiffe:\/\/([^/]+)\/(.+)$/.exec(id)
  if (spiffe !== null) return { name: spiffe[2]!, of: spiffe[1]! }
  const named = /^(oidc|user):([^:]+):(.+)$/.exec(id)
  if (named !== null) return { name: named[3]!, of: `${named[1]}:${named[2]}` }
  return { name: id, of: '' }
}

export function shortServer(resource: string): string {
  return resource.replace(/^https?:\/\//, '').replace(/\/$/, '')
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`
}

/** For a POSIX shell: quoted when it has to be. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

export const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
