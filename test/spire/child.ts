/** Child processes that are stopped by their own pid, whatever happens to this one. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'

export interface Child {
  readonly process: ChildProcess
  /** The end of what it printed, to say why it failed. */
  printed(): string
  /** Resolves when it is gone. */
  stop(): Promise<void>
}

const KEEP_CHARACTERS = 6000
const PATIENCE_MS = 8000
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
// A test run that takes too long is told to end so, and would leave its children behind.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1))

export function start(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; ipc?: boolean } = {},
): Child {
  const { ipc = false, ...rest } = options
  const child = spawn(program, args, {
    ...rest,
    stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
  })
  running.add(child)
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      printed = `${printed}${chunk}`.slice(-KEEP_CHARACTERS)
    })
  }
  child.once('error', (error) => {
    printed += error.message
  })
  const gone = new Promise<void>((resolve) => {
    const end = () => {
      running.delete(child)
      resolve()
    }
    child.once('exit', end).once('error', end)
  })
  return {
    process: child,
    printed: () => printed,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      const patience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS)
      await gone
      clearTimeout(patience)
    },
  }
}

/**
 * Waits until `ready` gives something.
 *
 * @throws {Error} with what the child printed, when it ended or when time is up
 */
export async function until<T>(
  what: string,
  child: Child,
  ready: () => Promise<T | undefined>,
  patienceMs = 150_000,
): Promise<T> {
  const deadline = Date.now() + patienceMs
  while (Date.now() < deadline && child.process.exitCode === null) {
    const answer = await ready().catch(() => undefined)
    if (answer !== undefined) return answer
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`${what}\n${child.printed()}`)
}

/**
 * Runs a program to its end and returns what it printed.
 *
 * @throws {Error} with what it printed to stderr
 */
export function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${program} ${args.slice(0, 2).join(' ')}: ${stderr || stdout}`))
    })
  })
}
