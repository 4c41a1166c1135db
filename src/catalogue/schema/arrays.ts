/** Keywords about arrays (Core §10.3.1, §11.2; Validation §6.4; draft-07 Validation §6.4). */
import type { Json } from '../../lib/json.ts'
import type { Site } from './compile.ts'
import { keyOf } from './equal.ts'
import type { Check, Run, Seen } from './run.ts'
import { SchemaError } from './schema-error.ts'
import { countOf } from './values.ts'

type ItemsCheck = (items: readonly Json[], run: Run, seen: Seen | undefined) => boolean

export function arrayChecks(site: Site): Check[] {
  const { schema, dialect } = site
  const checks: ItemsCheck[] = []
  sizes(site, checks)
  const { prefix, rest } = shape(site)
  if (prefix !== undefined) {
    checks.push((items, run, seen) => {
      const count = Math.min(prefix.length, items.length)
      for (let at = 0; at < count; at++) {
        if (!run.descend(at, items[at] as Json, prefix[at] as Check)) return false
      }
      if (seen !== undefined) seen.firstItems = Math.max(seen.firstItems, count)
      return true
    })
  }
  if (rest !== undefined) {
    const from = prefix?.length ?? 0
    checks.push((items, run, seen) => {
      for (let at = from; at < items.length; at++) {
        if (!run.descend(at, items[at] as Json, rest)) return false
      }
      if (seen !== undefined) seen.allItems = true
      return true
    })
  }
  contains(site, checks)
  if (schema.unevaluatedItems !== undefined && dialect === '2020-12') {
    const each = site.below(schema.unevaluatedItems, `${site.pointer}/unevaluatedItems`)
    checks.push((items, run, seen) => {
      if (seen === undefined || seen.allItems) return true
      for (let at = seen.firstItems; at < items.length; at++) {
        if (!seen.items.has(at) && !run.descend(at, items[at] as Json, each)) return false
      }
      seen.allItems = true
      return true
    })
  }
  if (checks.length === 0) return []
  return [
    (value, run, seen) => !Array.isArray(value) || checks.every((check) => check(value, run, seen)),
  ]
}

/** The schemas of the first items and of the rest, as each dialect writes them. */
function shape(site: Site): { prefix: Check[] | undefined; rest: Check | undefined } {
  const { schema, dialect, pointer } = site
  const list = dialect === '2020-12' ? schema.prefixItems : schema.items
  if (dialect === '2020-12' && Array.isArray(schema.items)) {
    throw new SchemaError('items is a list; JSON Schema 2020-12 calls that prefixItems', pointer)
  }
  if (dialect === '2020-12' && list !== undefined && !Array.isArray(list)) {
    throw new SchemaError('prefixItems must be a list of schemas', pointer)
  }
  const prefix = Array.isArray(list)
    ? list.map((each: Json, at: number) => site.below(each, `${pointer}/items/${at}`))
    : undefined
  const others =
    dialect === 'draft-07' && prefix !== undefined ? schema.additionalItems : schema.items
  const rest = others === undefined ? undefined : site.below(others, `${pointer}/items`)
  return { prefix, rest }
}

function sizes(site: Site, checks: ItemsCheck[]): void {
  const least = countOf(site, 'minItems')
  const most = countOf(site, 'maxItems')
  if (least !== undefined) {
    checks.push((items, run) => items.length >= least || run.fail(`has fewer than ${least} items`))
  }
  if (most !== undefined) {
    checks.push((items, run) => items.length <= most || run.fail(`has more than ${most} items`))
  }
  if (site.schema.uniqueItems === true) {
    checks.push(
      (items, run) =>
        new Set(items.map((each) => keyOf(each, run))).size === items.length ||
        run.fail('has two equal items'),
    )
  }
}

function contains(site: Site, checks: ItemsCheck[]): void {
  if (site.schema.contains === undefined) return
  const each = site.below(site.schema.contains, `${site.pointer}/contains`)
  const modern = site.dialect === '2020-12'
  const least = (modern ? countOf(site, 'minContains') : undefined) ?? 1
  const most = (modern ? countOf(site, 'maxContains') : undefined) ?? Number.POSITIVE_INFINITY
  checks.push((items, run, seen) => {
    let count = 0
    for (const [at, item] of items.entries()) {
      if (!run.descend(at, item, each)) continue
      count++
      if (modern) seen?.items.add(at)
    }
    return (
      (count >= least && count <= most) ||
      run.fail('does not contain the right number of matching items')
    )
  })
}
