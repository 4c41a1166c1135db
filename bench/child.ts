// A server process under measurement: says where it listens, and how much CPU it has used when asked.
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface ServerOptions {
  readonly directory: string
  /** Where the broker listens; the floor takes any. */
  readonly port?: number
  /** The store is SQLite when absent. */
  readonly redisUrl?: string
  /** Without policy and audit. */
  readonly bare?: boolean
}

export interface Child {
  readonly url: string
  readonly extra: Readonly<Record<string, string>>
  /** Microseconds of CPU, user and system, since the process began. */
  cpuUs(): Promise<number>
  stop(): Promise<void>
}

/** In the child: tells the parent it is ready, then answers its questions. */
export function answerCpu(url: string, extra: Record<string, string> = {}): void {
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.({ cpuUs: user + system })
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.({ url, extra })
}

/** In the parent: starts `program`, a file beside this one. */
export async function startChild(program: string, options: ServerOptions): Promise<Child> {
  const file = fileURLToPath(new URL(program, import.meta.url))
  const child = fork(file, [JSON.stringify(options)], {
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  const { url, extra } = (await nextMessage(child)) as {
    url: string
    extra: Record<string, string>
  }
  return {
    url,
    extra,
    async cpuUs() {
      const answer = nextMessage(child)
      child.send('cpu')
      return ((await answer) as { cpuUs: number }).cpuUs
    },
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    },
  }
}

function nextMessage(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const exited = (code: number | null): void =>
      reject(new Error(`bench: the server exited with ${code}`))
    child.once('exit', exited)
    child.once('message', (message) => {
      child.off('exit', exited)
      resolve(message)
    })
  })
}
