import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/**
 * For `{ skip }` of node:test: false when `name` is in PATH, else one line that says how to enable
 * the tests that need it. Under CI nothing may be skipped, so there a missing program is an error.
 *
 * @throws {Error} under CI, when the program is missing
 */
export function requireProgram(name: string, hint: string): string | false {
  if (findProgram(name) !== undefined) return false
  const reason = `needs ${name}: ${hint}`
  if (process.env.CI) throw new Error(reason)
  return reason
}

function findProgram(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(folder, name)
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch {
      // not in this folder
    }
  }
  return undefined
}
