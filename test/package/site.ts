/** A broker that is set up and run with nothing but the installed `writ` command. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makePin } from '../../src/catalogue/pin.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { freePort } from '../attacks/program.ts'
import { makeStore } from '../support/aged-store.ts'
import type { Installed } from './packed.ts'

const run = promisify(execFile)

export const AGENT = 'spiffe://corp.test/agents/bot'
export const TOOL: JsonObject = {
  name: 'transfer_funds',
  description: 'moves money',
  inputSchema: {
    type: 'object',
    properties: { to: { type: 'string' }, amount: { type: 'integer' } },
    required: ['to', 'amount'],
  },
}
const POLICY = `
@id("little")
permit (principal in Path::"spiffe://corp.test/agents", action == Bank::Action::"transfer_funds", resource)
when { context.input.amount <= 100 };
`

export interface Site {
  readonly issuer: string
  readonly resource: string
  readonly directory: string
  /** A file with a JWT-SVID. */
  readonly svid: string
  /** Runs the command in the site's folder; its `--json` answer. @throws {Error} unless it ends with 0 */
  writ(...args: string[]): Promise<JsonObject>
  serve(): Promise<{ stop(): Promise<number | null> }>
}

export async function makeSite({ folder }: Installed, directory: string): Promise<Site> {
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  const command = join(folder, manifest.bin.writ)
  const writ = async (...args: string[]) => {
    const { stdout } = await run(process.execPath, [command, ...args, '--json'], { cwd: directory })
    return JSON.parse(stdout) as JsonObject
  }
  await mkdir(join(directory, 'policies'), { recursive: true })
  const issuer = `http://127.0.0.1:${await freePort()}`
  const resource = `http://127.0.0.1:${await freePort()}/mcp`
  const pins = makePin(
    { tool: [TOOL] },
    { name: 'Bank', resource, pinnedAt: new Date().toISOString() },
  )
  await writeFile(join(directory, 'bank.json'), JSON.stringify(pins))
  await writeFile(join(directory, 'policies', 'bank.cedar'), POLICY)
  await mkdir(join(directory, 'config'))
  await writeFile(
    join(directory, 'config', 'writ.yaml'),
    JSON.stringify({
      issuer,
      listen: { public: new URL(issuer).host, admin: '127.0.0.1:0' },
      keys: { directory: 'keys' },
      store: { sqlite: { file: 'writ.db' } },
      trust: [{ spiffe: 'corp.test', bundle: { file: 'bundle.json' } }],
      servers: [{ resource, catalogue: 'bank.json' }],
      policies: 'policies',
      audit: { directory: 'audit' },
    }),
  )
  await makeStore(join(directory, 'writ.db'))
  await writ('keys', 'new')
  const identity = ['--trust-domain', 'corp.test', '--path', '/agents/bot', '--directory', 'domain']
  const output = ['--bundle', 'bundle.json', '--output', 'svid.jwt', '--lifetime', '1h']
  await writ('identity', 'dev', '--audience', issuer, ...identity, ...output)
  return {
    issuer,
    resource,
    directory,
    svid: join(directory, 'svid.jwt'),
    writ,
    async serve() {
      const child = spawn(process.execPath, [command, 'serve', '--json'], {
        cwd: directory,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      await answered(child)
      return {
        async stop() {
          child.kill('SIGTERM')
          const [code] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode]
          return code as number | null
        },
      }
    },
  }
}

/** `serve --json` prints its object once the broker answers. */
async function answered(child: ChildProcess): Promise<void> {
  let printed = ''
  child.stderr?.on('data', (chunk) => {
    printed += chunk
  })
  const started = once(child.stdout!, 'data').then(() => true)
  if (await Promise.race([started, once(child, 'exit').then(() => false)])) return
  throw new Error(`the broker did not start\n${printed}`)
}
