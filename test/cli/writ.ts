// Runs the command as a user does: a child process, its two outputs, its exit code.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** Standard output as one JSON object. */
  json(): Record<string, unknown>
}

export interface Surroundings {
  readonly cwd: string
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly nodeArguments?: readonly string[]
  /** A file for standard output, instead of a pipe. */
  readonly stdout?: number
}

export function start(args: readonly string[], around: Surroundings): ChildProcess {
  return spawn(process.execPath, [...(around.nodeArguments ?? []), MAIN, ...args], {
    cwd: around.cwd,
    env: { ...withoutWrit(process.env), ...around.env },
    stdio: ['pipe', around.stdout ?? 'pipe', 'pipe'],
  })
}

export async function writ(args: readonly string[], around: Surroundings): Promise<Ended> {
  const child = start(args, around)
  const output = collect(child)
  child.stdin?.end(around.input ?? '')
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...output(), json: () => JSON.parse(output().stdout) }
}

export function collect(child: ChildProcess): () => { stdout: string; stderr: string } {
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  return () => ({ stdout, stderr })
}

function withoutWrit(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('WRIT_')))
}

export async function temporaryDirectory(t: {
  after(hook: () => Promise<void>): void
}): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-cli-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}
