/** Processes of this project: what they print is kept, and none outlives the test that started it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Program {
  readonly child: ChildProcess
  /** Everything it has written to standard output and standard error. */
  printed(): string
  /** Sends a message and answers with the next one that comes back. */
  ask<T>(message: object): Promise<T>
  /** Resolves when it has ended, by itself or by a signal. */
  readonly ended: Promise<void>
  stop(signal?: NodeJS.Signals): Promise<void>
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** @param args of `node`; the program may speak over `process.send` */
export function startProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Program {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, ...env },
  })
  running.add(child)
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      running.delete(child)
      resolve()
    })
  })
  const chunks: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk))
  const printed = () => Buffer.concat(chunks).toString()
  return {
    child,
    printed,
    ended,
    async ask<T>(message: object): Promise<T> {
      const answer = once(child, 'message')
      child.send(message)
      const gone = ended.then(() => Promise.reject(new Error(`it ended\n${printed()}`)))
      return (await Promise.race([answer, gone]))[0] as T
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal)
      const late = setTimeout(() => child.kill('SIGKILL'), 8000)
      await ended
      clearTimeout(late)
    },
  }
}

/** Waits until `url` answers with 200. @throws {Error} with what the program printed */
export async function answering(url: string, program: Program, limitMs = 60_000): Promise<void> {
  const end = performance.now() + limitMs
  while (performance.now() < end && program.child.exitCode === null) {
    const response = await fetch(url).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`nothing answers at ${url}\n${program.printed()}`)
}

/** Below the ports that systems hand out by themselves, so that nobody takes it meanwhile. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 9000)
    const probe = createServer()
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false))
      probe.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise((resolve) => probe.close(resolve))
    return port
  }
}
