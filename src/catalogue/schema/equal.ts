import { isJsonObject, type Json } from '../../lib/json.ts'
import type { Run } from './run.ts'

/**
 * A text that two values share exactly when JSON Schema calls them equal (Core §4.2.2): members in
 * any order, `1` and `1.0` alike, `1` and `true` not. A key makes `enum` and `uniqueItems` linear.
 */
export function keyOf(value: Json, run?: Run): string {
  run?.step()
  if (Array.isArray(value)) return `[${value.map((each) => keyOf(each, run)).join(',')}]`
  if (isJsonObject(value)) {
    const members = Object.keys(value).sort()
    return `{${members.map((name) => `${JSON.stringify(name)}:${keyOf(value[name] as Json, run)}`).join(',')}}`
  }
  if (typeof value === 'string') run?.step(value.length / 8)
  return Object.is(value, -0) ? '0' : JSON.stringify(value)
}
