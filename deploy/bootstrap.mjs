// Runs one of the project's programs under the project's own Node, installing what is missing first.
// It must itself run on any Node from 20 on, before anything is installed, and so uses nothing but Node.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const ownNode = join(
  root,
  'node_modules',
  'node',
  'bin',
  process.platform === 'win32' ? 'node.exe' : 'node',
)
const [program, ...args] = process.argv.slice(2)

if (Number(process.versions.node.split('.')[0]) < 20) {
  fail(
    `Node ${process.versions.node} is too old`,
    'install Node 20 or newer, then run the command again',
  )
}
if (program === undefined) fail('no program named', 'run: node deploy/bootstrap.mjs <program.ts>')

if (!isInstalled()) {
  console.error('writ: installing dependencies, once (npm ci) …')
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const run = spawnSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (run.status !== 0 || !existsSync(ownNode)) {
    fail('npm ci did not succeed', 'see what npm printed above; it needs a package registry once')
  }
}

if (!isBuilt()) {
  const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js')
  const options = { cwd: root, encoding: 'utf8' }
  const run = spawnSync(ownNode, [vite, 'build', '--logLevel', 'error'], options)
  if (run.status !== 0) fail('the console could not be built', `${run.stdout}${run.stderr}`)
}

const child = spawn(
  ownNode,
  ['--disable-warning=ExperimentalWarning', join(root, program), ...args],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH ?? ''}`,
    },
  },
)
// The terminal sends its signals to the child as well; this process only waits and passes on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)))

/** npm writes `node_modules/.package-lock.json` last, so it is as new as what is installed. */
function isInstalled() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(ownNode) || !existsSync(installed)) return false
  return statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs
}

/** The console in `dist/` is as new as its sources; building it takes a second. */
function isBuilt() {
  const page = join(root, 'dist', 'console', 'index.html')
  if (!existsSync(page)) return false
  const sources = join(root, 'src', 'admin', 'console')
  const files = readdirSync(sources, { recursive: true }).map((name) => join(sources, name))
  const built = statSync(page).mtimeMs
  return files.every((file) => statSync(file).mtimeMs <= built)
}

function fail(what, hint) {
  console.error(`writ: error: ${what}\nwrit: hint: ${hint}`)
  process.exit(2)
}
