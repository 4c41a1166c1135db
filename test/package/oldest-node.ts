import { execFileSync } from 'node:child_process'

const HINT =
  'set OLDEST_NODE to a Node 22 (npm install --prefix <folder> --no-save node@22 puts one into <folder>/node_modules/node/bin/node)'

/** The oldest Node that verifiers and agents run on, and for node:test's `{ skip }` what to do without one. */
export const oldestNode = find()

/** @throws {Error} under CI, where nothing may be skipped, when there is none; or when it is not Node 22 */
function find(): { readonly path: string; readonly skip: string | false } {
  const path = process.env.OLDEST_NODE
  if (path === undefined) {
    if (process.env.CI) throw new Error(`needs Node 22: ${HINT}`)
    return { path: process.execPath, skip: `needs Node 22: ${HINT}` }
  }
  const version = execFileSync(path, ['--version'], { encoding: 'utf8' }).trim()
  if (!version.startsWith('v22.')) throw new Error(`OLDEST_NODE is ${version}: ${HINT}`)
  return { path, skip: false }
}
