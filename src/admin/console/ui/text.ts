/** Names as people read them; the whole is always in a title or on the page of the thing itself. */

/** The one that the broker writes commands with. */
export { shellWord as quoted } from '../../shell.ts'

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

export const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
