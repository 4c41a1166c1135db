// Runs the test files under `test/`, or those named as arguments: folders, or files without `.test.ts`.
import { glob } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runFiles } from './support/run-files.ts'

/** Started first, the longest before all, so that none of them is left when all others have ended. */
const LONGEST = [
  'crash/random.test.ts',
  'attacks/revoke-use.test.ts',
  'admin-path/killed.test.ts',
  'admin-path/redis.test.ts',
  'attacks/concurrency.test.ts',
  'crash/kill.test.ts',
  'attacks/loss.test.ts',
  'attacks/brokers-killed.test.ts',
  'cli/serve.test.ts',
  'admin/events.test.ts',
]
/** More than cores: most of them wait for something most of the time. */
const AT_ONCE = Math.min(availableParallelism() + 1, 8)
/** What these promise they promise at any load, so that one failure is one. */
const AT_ANY_LOAD = ['attacks', 'crash', 'admin-path', 'ledger', 'revocation']

const here = fileURLToPath(new URL('.', import.meta.url))
const named = process.argv.slice(2)
const patterns =
  named.length === 0
    ? ['**/*.test.ts']
    : named.flatMap((name) => [`${name}/**/*.test.ts`, `${name}.test.ts`])

const found = new Set<string>()
for (const pattern of patterns) {
  for await (const file of glob(pattern, { cwd: here })) found.add(file)
}
if (found.size === 0) {
  console.error(`writ: error: no test files match ${patterns.join(', ')} under test/`)
  process.exit(2)
}
const first = LONGEST.filter((file) => found.delete(file))
const files = [...first, ...[...found].sort()].map((file) => join(here, file))
const mayTryAlone = (file: string) =>
  !AT_ANY_LOAD.some((folder) => file.startsWith(join(here, folder, '/')))
process.exit(await runFiles(files, { atOnce: AT_ONCE, mayTryAlone }))
