/** Keywords that apply further schemas to the same value: references and logic (Core §8.2.3, §10.2). */
import { isJsonObject, type Json } from '../../lib/json.ts'
import type { Site } from './compile.ts'
import { type Check, Seen } from './run.ts'
import { SchemaError } from './schema-error.ts'

export function combinationChecks(site: Site): Check[] {
  const { schema, pointer, dialect } = site
  const checks: Check[] = []
  if (schema.$ref !== undefined) {
    const target = site.resources.find(textOf(schema.$ref, '$ref', pointer), site.resource, pointer)
    checks.push(site.inPlace(target.schema, `${pointer}/$ref`))
    if (dialect === 'draft-07') return checks
  }
  if (schema.$dynamicRef !== undefined && dialect === '2020-12') checks.push(dynamicReference(site))
  if (schema.allOf !== undefined) checks.push(...branches(site, 'allOf'))
  if (schema.anyOf !== undefined) checks.push(anyOf(branches(site, 'anyOf')))
  if (schema.oneOf !== undefined) checks.push(oneOf(branches(site, 'oneOf')))
  if (schema.not !== undefined) {
    const check = site.inPlace(schema.not, `${pointer}/not`)
    checks.push(
      (value, run) => !check(value, run, undefined) || run.fail('has a form that is not allowed'),
    )
  }
  if (schema.if !== undefined) checks.push(condition(site))
  const dependent = dialect === '2020-12' ? schema.dependentSchemas : schema.dependencies
  if (isJsonObject(dependent)) {
    for (const [trigger, child] of Object.entries(dependent)) {
      if (Array.isArray(child)) continue
      const check = site.inPlace(child, `${pointer}/dependentSchemas/${trigger}`)
      checks.push(
        (value, run, seen) =>
          !isJsonObject(value) || !Object.hasOwn(value, trigger) || check(value, run, seen),
      )
    }
  }
  return checks
}

function anyOf(options: readonly Check[]): Check {
  return (value, run, seen) => {
    let matched = false
    for (const option of options) {
      const own = seen === undefined ? undefined : new Seen()
      if (!option(value, run, own)) continue
      matched = true
      // Every option that matches has a say in what was evaluated, so all are tried when it matters.
      if (seen === undefined || own === undefined) break
      seen.add(own)
    }
    return matched || run.fail('matches none of the forms allowed')
  }
}

function oneOf(options: readonly Check[]): Check {
  return (value, run, seen) => {
    let matches = 0
    for (const option of options) {
      const own = seen === undefined ? undefined : new Seen()
      if (!option(value, run, own)) continue
      if (++matches > 1) return run.fail('matches two forms of which only one is allowed')
      if (own !== undefined) seen?.add(own)
    }
    return matches === 1 || run.fail('matches none of the forms allowed')
  }
}

function condition(site: Site): Check {
  const { schema, pointer } = site
  const test = site.inPlace(schema.if as Json, `${pointer}/if`)
  const then = schema.then === undefined ? undefined : site.inPlace(schema.then, `${pointer}/then`)
  const other = schema.else === undefined ? undefined : site.inPlace(schema.else, `${pointer}/else`)
  return (value, run, seen) => {
    const own = seen === undefined ? undefined : new Seen()
    const holds = test(value, run, own)
    if (holds && own !== undefined) seen?.add(own)
    const next = holds ? then : other
    return next === undefined || next(value, run, seen)
  }
}

/** Core §8.2.3.2: the outermost resource in scope that has the dynamic anchor decides. */
function dynamicReference(site: Site): Check {
  const { pointer, resources } = site
  const reference = textOf(site.schema.$dynamicRef as Json, '$dynamicRef', pointer)
  const { schema, resource } = resources.find(reference, site.resource, pointer)
  const fixed = site.inPlace(schema, `${pointer}/$dynamicRef`)
  const anchor = /#([^/].*)$/.exec(reference)?.[1]
  if (anchor === undefined || resource.dynamicAnchors.get(anchor) !== schema) return fixed
  const compiled = new Map<Json, Check>()
  for (const target of resources.withDynamicAnchor(anchor)) {
    compiled.set(target, site.inPlace(target, `${pointer}/$dynamicRef`))
  }
  return (value, run, seen) => {
    for (const entered of run.scope) {
      const target = entered.dynamicAnchors.get(anchor)
      const check = target === undefined ? undefined : compiled.get(target)
      if (check !== undefined) return check(value, run, seen)
    }
    return fixed(value, run, seen)
  }
}

function branches(site: Site, keyword: 'allOf' | 'anyOf' | 'oneOf'): Check[] {
  const list = site.schema[keyword]
  if (!Array.isArray(list) || list.length === 0) {
    throw new SchemaError(`${keyword} must be a list of schemas`, site.pointer)
  }
  return list.map((each: Json, at: number) =>
    site.inPlace(each, `${site.pointer}/${keyword}/${at}`),
  )
}

function textOf(value: Json, keyword: string, pointer: string): string {
  if (typeof value !== 'string') throw new SchemaError(`${keyword} must be a string`, pointer)
  return value
}
