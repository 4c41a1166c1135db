// Builds the console, then drives it in Chromium: `npm run test:browser [-- <part of a file's name>]`.
import { spawn } from 'node:child_process'
import { glob } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const here = dirname(fileURLToPath(import.meta.url))
const wanted = process.argv.slice(2)

await build({ configFile: join(here, '../../vite.config.ts'), logLevel: 'warn' })

const files: string[] = []
for await (const file of glob('*.browser.ts', { cwd: here })) {
  if (wanted.length === 0 || wanted.some((part) => file.includes(part)))
    files.push(join(here, file))
}
if (files.length === 0) {
  console.error(`writ: error: no browser test is called ${wanted.join(', ')}`)
  process.exit(2)
}

const run = spawn(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=1',
    // For what hangs. A file takes as long as it takes.
    '--test-timeout=3600000',
    '--test-reporter=spec',
    ...files.sort(),
  ],
  { stdio: 'inherit' },
)
run.on('close', (code) => process.exit(code ?? 1))
