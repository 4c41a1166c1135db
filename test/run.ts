// Runs the test files under `test/` (or under the folders named as arguments) and says what was skipped.
import { spawn } from 'node:child_process'
import { glob } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const folders = process.argv.slice(2)
const patterns = folders.length === 0 ? ['**/*.test.ts'] : folders.map((f) => `${f}/**/*.test.ts`)

const files: string[] = []
for (const pattern of patterns) {
  for await (const file of glob(pattern, { cwd: here })) files.push(join(here, file))
}
if (files.length === 0) {
  console.error(`writ: error: no test files match ${patterns.join(', ')} under test/`)
  process.exit(2)
}

const run = spawn(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=2',
    '--test-timeout=300000',
    `--test-reporter=${new URL('./support/report.ts', import.meta.url).href}`,
    '--test-reporter-destination=stdout',
    ...files.sort(),
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
)

// Under CI a skipped suite is a failure: a suite that did not run has proved nothing.
let last = ''
run.stdout.setEncoding('utf8')
run.stdout.on('data', (text: string) => {
  process.stdout.write(text)
  last = (last + text).slice(-200)
})
run.on('close', (code) => {
  const counts = /^(\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(last)
  if (counts === null) {
    process.stderr.write('writ: error: the test run ended without its counts\n')
    process.exit(1)
  }
  if (code === 0 && process.env.CI && counts[3] !== '0') {
    process.stderr.write(
      `writ: error: under CI a skip is a failure, and ${counts[3]} were skipped\n`,
    )
    process.exit(1)
  }
  process.exit(code ?? 1)
})
