// A Python with the packages of a requirements file, made once per list of packages and machine.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { requireProgram } from './programs.ts'

const HINT = 'install Python 3.10 or newer with its venv module (python3-venv)'

/**
 * False when Python can make an environment of its own here, else one line that says what is missing.
 *
 * @throws {Error} under CI, when something is missing
 */
export function whyNoPython(): string | false {
  const missing = requireProgram('python3', HINT)
  if (missing !== false) return missing
  const script = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'
  if (spawnSync('python3', ['-c', script]).status === 0) return false
  const reason = `needs python3 with venv: ${HINT}`
  if (process.env.CI) throw new Error(reason)
  return reason
}

/**
 * The interpreter of an environment that has these packages; made when it is not there yet. It is kept
 * in `writ/python` in the user's cache folder, under a name that changes with Python and the packages.
 *
 * @param requirements path of a pip requirements file
 * @throws {Error} with what Python or pip printed
 */
export function buildPython(requirements: string): string {
  const home = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  const cache = join(home, 'writ', 'python')
  const version = run('python3', ['-c', 'import sys; print(sys.version, sys.prefix)'])
  const name = createHash('sha256').update(version).update(readFileSync(requirements)).digest('hex')
  const folder = join(cache, name.slice(0, 16))
  const interpreter = join(folder, 'bin', 'python')
  if (existsSync(interpreter)) return interpreter

  mkdirSync(cache, { recursive: true })
  const unfinished = mkdtempSync(join(cache, 'unfinished-'))
  try {
    run('python3', ['-m', 'venv', unfinished])
    const quiet = ['--quiet', '--disable-pip-version-check', '--no-input']
    const packages = ['-m', 'pip', 'install', ...quiet, '-r', requirements]
    run(join(unfinished, 'bin', 'python'), packages)
    try {
      renameSync(unfinished, folder)
    } catch (error) {
      // Two runs at once: the first one's stays, and is as good.
      if (!existsSync(interpreter)) throw error
    }
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return interpreter
}

function run(program: string, args: readonly string[]): string {
  const ended = spawnSync(program, args, { encoding: 'utf8', timeout: 240_000 })
  if (ended.status === 0) return ended.stdout
  throw new Error(`${program} ${args.slice(0, 3).join(' ')}: ${ended.stderr || ended.error}`)
}
