// Runs the tests that need a real SPIRE: `npm run test:spire`. It builds SPIRE first, where it must.
import { spawn } from 'node:child_process'
import { glob } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSpire, whyNoSpire } from './build.ts'

const here = dirname(fileURLToPath(import.meta.url))

try {
  const missing = whyNoSpire()
  if (missing) {
    console.log(`skipped: ${missing}`)
    process.exit(0)
  }
  const started = performance.now()
  buildSpire()
  console.log(`SPIRE is built (${Math.round((performance.now() - started) / 1000)} s)`)
} catch (error) {
  console.error(`writ: error: ${(error as Error).message}`)
  process.exit(1)
}

const wanted = process.argv.slice(2)
const files: string[] = []
for await (const file of glob('*.spire.ts', { cwd: here })) {
  if (wanted.length === 0 || wanted.some((name) => file.startsWith(name))) {
    files.push(join(here, file))
  }
}
if (files.length === 0) {
  console.error(`writ: error: no test file of test/spire/ starts with ${wanted.join(' or ')}`)
  process.exit(2)
}

const run = spawn(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    // The longest file mostly waits for certificates to run out; the others run meanwhile.
    '--test-concurrency=3',
    // With room for a machine that is busy.
    '--test-timeout=480000',
    `--test-reporter=${new URL('./report.ts', import.meta.url).href}`,
    '--test-reporter-destination=stdout',
    ...files.sort(),
  ],
  { stdio: 'inherit' },
)
run.on('close', (code) => process.exit(code ?? 1))
