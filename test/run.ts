// Runs the test files under `test/` (or under the folders named as arguments) and says what was skipped.
import { spawn } from 'node:child_process'
import { glob } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SILENCE_MS = 6 * 60_000
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
let silence = setTimeout(givenUp, SILENCE_MS)
run.stdout.setEncoding('utf8')
run.stdout.on('data', (text: string) => {
  process.stdout.write(text)
  last = (last + text).slice(-200)
  clearTimeout(silence)
  silence = setTimeout(givenUp, SILENCE_MS)
})
run.on('close', (code) => {
  clearTimeout(silence)
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

/** A test that failed may have left something open that keeps its file from ending, for ever. */
function givenUp(): void {
  process.stderr.write(`writ: error: no test file has ended for ${SILENCE_MS / 60_000} minutes\n`)
  run.kill('SIGKILL')
  process.exit(1)
}
