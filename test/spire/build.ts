// Builds the real spire-server and spire-agent from their Go modules, once per release and machine.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { requireProgram } from '../support/programs.ts'

export interface SpirePrograms {
  readonly server: string
  readonly agent: string
}

const pinned = fileURLToPath(new URL('./go', import.meta.url))
const MODULE = 'github.com/spiffe/spire'

/**
 * False when SPIRE can be built here, else one line that says what is missing.
 *
 * @throws {Error} under CI, when something is missing
 */
export function whyNoSpire(): string | false {
  return (
    requireProgram('go', 'install Go 1.25.3 or newer; the tests build SPIRE with it') ||
    // The server's datastore is SQLite, which is C.
    requireProgram('gcc', 'install gcc (or build-essential): the store of a SPIRE server is C')
  )
}

/**
 * Where both programs are, built when they are not there yet. They are kept in `WRIT_SPIRE_CACHE`,
 * by default `writ/spire` in the user's cache folder, under a name that changes with the release.
 *
 * @throws {Error} with what Go printed
 */
export function buildSpire(): SpirePrograms {
  const home = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  const cache = process.env.WRIT_SPIRE_CACHE ?? join(home, 'writ', 'spire')
  const sums = readFileSync(join(pinned, 'go.sum'))
  const release = createHash('sha256').update(sums).digest('hex').slice(0, 16)
  const folder = join(cache, `${release}-${process.platform}-${process.arch}`)
  const programs = { server: join(folder, 'spire-server'), agent: join(folder, 'spire-agent') }
  if (existsSync(programs.server) && existsSync(programs.agent)) return programs

  process.stderr.write('writ: building SPIRE from its Go modules, once; this takes minutes …\n')
  mkdirSync(cache, { recursive: true })
  const unfinished = mkdtempSync(join(cache, 'unfinished-'))
  try {
    const into = ['-trimpath', '-buildvcs=false', '-ldflags=-s -w', '-o', `${unfinished}/`]
    const commands = ['./cmd/spire-server', './cmd/spire-agent']
    // Built in its own folder, as its own releases are: its go.sum pins what it is made of.
    go(['build', ...into, ...commands], sourceFolder())
    rmSync(folder, { recursive: true, force: true })
    renameSync(unfinished, folder)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return programs
}

/** Downloads the pinned release; Go checks it against our go.sum. */
function sourceFolder(): string {
  const answer = JSON.parse(go(['mod', 'download', '-json', MODULE], pinned)) as { Dir?: string }
  if (answer.Dir === undefined) throw new Error(`no sources of ${MODULE}`)
  return answer.Dir
}

function go(args: readonly string[], cwd: string): string {
  const env = { ...process.env, CGO_ENABLED: '1', GOWORK: 'off', GOFLAGS: '-mod=readonly' }
  const run = spawnSync('go', args, { cwd, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (run.status !== 0) {
    const printed = `${run.error?.message ?? ''}${run.stdout ?? ''}${run.stderr ?? ''}`
    throw new Error(`go ${args[0]} failed\n${printed.slice(-4000)}`)
  }
  return run.stdout
}
