/** Keywords about objects (Core §10.3.2, §11.3; Validation §6.5). */
import { isJsonObject, type Json, type JsonObject } from '../../lib/json.ts'
import type { Site } from './compile.ts'
import { compilePattern } from './pattern.ts'
import type { Check, Run, Seen } from './run.ts'
import { SchemaError } from './schema-error.ts'
import { countOf } from './values.ts'

type MembersCheck = (value: JsonObject, run: Run, seen: Seen | undefined) => boolean

export function objectChecks(site: Site): Check[] {
  const checks: MembersCheck[] = []
  sizes(site, checks)
  required(site, checks)
  members(site, checks)
  if (site.schema.propertyNames !== undefined) {
    const check = site.below(site.schema.propertyNames, `${site.pointer}/propertyNames`)
    checks.push((value, run) => Object.keys(value).every((name) => run.descend(name, name, check)))
  }
  if (site.schema.unevaluatedProperties !== undefined && site.dialect === '2020-12') {
    const check = site.below(
      site.schema.unevaluatedProperties,
      `${site.pointer}/unevaluatedProperties`,
    )
    checks.push((value, run, seen) => {
      if (seen === undefined || seen.allNames) return true
      for (const name of Object.keys(value)) {
        if (!seen.names.has(name) && !run.descend(name, value[name] as Json, check)) return false
      }
      seen.allNames = true
      return true
    })
  }
  if (checks.length === 0) return []
  return [
    (value, run, seen) => !isJsonObject(value) || checks.every((check) => check(value, run, seen)),
  ]
}

function sizes(site: Site, checks: MembersCheck[]): void {
  const least = countOf(site, 'minProperties')
  const most = countOf(site, 'maxProperties')
  if (least !== undefined) {
    checks.push(
      (value, run) =>
        Object.keys(value).length >= least || run.fail(`has fewer than ${least} members`),
    )
  }
  if (most !== undefined) {
    checks.push(
      (value, run) =>
        Object.keys(value).length <= most || run.fail(`has more than ${most} members`),
    )
  }
}

function required(site: Site, checks: MembersCheck[]): void {
  const { schema, pointer } = site
  if (schema.required !== undefined) {
    const names = namesOf(schema.required, 'required', pointer)
    checks.push((value, run) => {
      const missing = names.find((name) => !Object.hasOwn(value, name))
      return missing === undefined || run.fail(`has no member ${JSON.stringify(missing)}`)
    })
  }
  // Draft-07 has both in one keyword; lists are read here, schemas in `combinations.ts`.
  const dependent = site.dialect === '2020-12' ? schema.dependentRequired : schema.dependencies
  if (dependent === undefined) return
  if (!isJsonObject(dependent))
    throw new SchemaError('dependentRequired must be an object', pointer)
  for (const [trigger, list] of Object.entries(dependent)) {
    if (site.dialect === 'draft-07' && !Array.isArray(list)) continue
    const names = namesOf(list, 'dependentRequired', pointer)
    checks.push((value, run) => {
      if (!Object.hasOwn(value, trigger)) return true
      const missing = names.find((name) => !Object.hasOwn(value, name))
      return (
        missing === undefined ||
        run.fail(`has no member ${JSON.stringify(missing)}, which ${JSON.stringify(trigger)} needs`)
      )
    })
  }
}

/** `properties`, `patternProperties` and `additionalProperties`, which are read together. */
function members(site: Site, checks: MembersCheck[]): void {
  const { schema, pointer } = site
  const named = new Map<string, Check>()
  for (const [name, child] of Object.entries((schema.properties ?? {}) as JsonObject)) {
    named.set(name, site.below(child, `${pointer}/properties/${name}`))
  }
  const patterns = Object.entries((schema.patternProperties ?? {}) as JsonObject).map(
    ([source, child]) => ({
      pattern: compilePattern(source),
      check: site.below(child, `${pointer}/patternProperties/${source}`),
    }),
  )
  const others =
    schema.additionalProperties === undefined
      ? undefined
      : site.below(schema.additionalProperties, `${pointer}/additionalProperties`)
  if (named.size === 0 && patterns.length === 0 && others === undefined) return
  checks.push((value, run, seen) => {
    for (const name of Object.keys(value)) {
      run.step()
      const member = value[name] as Json
      const own = named.get(name)
      let known = own !== undefined
      if (own !== undefined && !run.descend(name, member, own)) return false
      for (const { pattern, check } of patterns) {
        run.step(1 + name.length * pattern.stepsPerCharacter)
        if (!pattern.test(name)) continue
        known = true
        if (!run.descend(name, member, check)) return false
      }
      if (!known && others !== undefined && !run.descend(name, member, others)) return false
      if (known) seen?.names.add(name)
    }
    if (others !== undefined && seen !== undefined) seen.allNames = true
    return true
  })
}

function namesOf(list: Json, keyword: string, pointer: string): string[] {
  if (!Array.isArray(list) || !list.every((name) => typeof name === 'string')) {
    throw new SchemaError(`${keyword} must list names`, pointer)
  }
  return list as string[]
}
