// A Redis of our own for the length of a run: append-only, on a free port, in a temporary folder.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** `undefined` when there is no redis-server on this machine. */
export async function startBenchRedis(): Promise<
  { readonly url: string; stop(): Promise<void> } | undefined
> {
  if (spawnSync('redis-server', ['--version']).status !== 0) return undefined
  const directory = await mkdtemp(join(tmpdir(), 'writ-bench-redis-'))
  const port = await freePort()
  const child = spawn(
    'redis-server',
    [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', ''],
      ...['--appendonly', 'yes', '--maxmemory-policy', 'noeviction'],
    ],
    { stdio: 'ignore' },
  )
  while (!(await listens(port))) await new Promise((resolve) => setTimeout(resolve, 50))
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1')
    socket.once('connect', () => resolve(true) ?? socket.destroy())
    socket.once('error', () => resolve(false))
  })
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
