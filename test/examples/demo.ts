// Makes everything a demonstration needs in one folder, and starts its processes: a development trust
// domain, signing keys, a configuration, the broker, and the example MCP server.
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const STARTUP_MS = 60_000

export interface Demo {
  readonly issuer: string
  readonly resource: string
  readonly configFile: string
  readonly auditDirectory: string
  /** Where the first admin enrols a passkey; undefined when the broker printed none. */
  readonly firstLink: string | undefined
  readonly domain: DevelopmentDomain
  /** Ends both processes; resolves when they are gone. */
  stop(): Promise<void>
}

/** @throws {Error} saying which program did not start, with what it printed */
export async function startDemo(directory: string): Promise<Demo> {
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const [brokerPort, adminPort, serverPort] = [
    await freePort(4470),
    await freePort(4472),
    await freePort(4474),
  ]
  const issuer = `http://127.0.0.1:${brokerPort}`
  const resource = `http://127.0.0.1:${serverPort}/mcp`
  const domain = await createDevelopmentDomain({
    directory: join(directory, 'domain'),
    trustDomain: 'demo.test',
  })

  const reporter = await writeReporter(directory)
  const configFile = join(directory, 'writ.yaml')
  const auditDirectory = join(directory, 'audit')
  await writeFile(
    configFile,
    `issuer: ${issuer}
listen: { public: 127.0.0.1:${brokerPort}, admin: 127.0.0.1:${adminPort} }
keys: { directory: ${join(directory, 'signing')} }
store: { sqlite: { file: ${join(directory, 'writ.db')} } }
trust:
  - spiffe: demo.test
    bundle: { file: ${domain.bundleFile} }
servers:
  - resource: ${resource}
    catalogue: ${join(directory, 'notes.json')}
policies: ${join(directory, 'policies')}
audit: { directory: ${auditDirectory} }
clients:
  - client_id: notes-server
    jwks_file: ${reporter.jwksFile}
    scopes: [writ:report]
    resources: [${resource}]
`,
  )
  await writeExamples(directory, resource)
  await runWrit(['keys', 'new', '--config', configFile])

  const processes: ChildProcess[] = []
  let firstLink: string | undefined
  try {
    const broker = start('the broker', ['src/cli/main.ts', 'serve', '--config', configFile])
    processes.push(broker)
    await answering(`${issuer}/readyz`, processes)
    const options = JSON.stringify({
      issuer,
      port: serverPort,
      directory: join(directory, 'notes'),
      reports: { clientId: 'notes-server', key: reporter.keyFile },
    })
    processes.push(start('the MCP server', ['test/examples/notes-main.ts', options]))
    await answering(`${resource.slice(0, -4)}/.well-known/oauth-protected-resource`, processes)
    firstLink = /^http:\/\/localhost:\S+$/m.exec(printed.get(broker) ?? '')?.[0]
  } catch (error) {
    await stopAll(processes)
    throw error
  }
  const stop = () => stopAll(processes)
  return { issuer, resource, configFile, auditDirectory, firstLink, domain, stop }
}

/** The key with which the MCP server signs its reports; the broker is told the public half. */
async function writeReporter(directory: string): Promise<{ jwksFile: string; keyFile: string }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const [jwksFile, keyFile] = [join(directory, 'notes-server.jwks'), join(directory, 'reports.key')]
  await writeFile(jwksFile, JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }))
  await writeFile(keyFile, JSON.stringify(privateKey.export({ format: 'jwk' })), { mode: 0o600 })
  return { jwksFile, keyFile }
}

/** The pinned definitions and the policies of `config/`, for the port this demonstration runs on. */
async function writeExamples(directory: string, resource: string): Promise<void> {
  const { readFile, readdir } = await import('node:fs/promises')
  const here = (text: string) => text.replaceAll('http://127.0.0.1:4474/mcp', resource)
  const pins = await readFile(join(root, 'config/catalogue/example.json'), 'utf8')
  await writeFile(join(directory, 'notes.json'), here(pins))
  await mkdir(join(directory, 'policies'))
  for (const name of await readdir(join(root, 'config/policies'))) {
    const text = await readFile(join(root, 'config/policies', name), 'utf8')
    await writeFile(join(directory, 'policies', name), here(text))
  }
}

/** Runs one `writ` command to its end. */
export async function runWrit(args: readonly string[]): Promise<string> {
  const child = start('writ', ['src/cli/main.ts', ...args])
  let out = ''
  child.stdout?.on('data', (chunk) => {
    out += chunk
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`writ ${args[0]} ended with ${code}\n${printed.get(child)}`)
  return out
}

const printed = new WeakMap<ChildProcess, string>()

function start(name: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const keep = (chunk: Buffer) =>
    printed.set(child, `${printed.get(child) ?? ''}${chunk}`.slice(-4000))
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  child.once('error', (error) => printed.set(child, `${name}: ${error.message}`))
  return child
}

async function answering(url: string, processes: readonly ChildProcess[]): Promise<void> {
  const deadline = Date.now() + STARTUP_MS
  const child = processes.at(-1)
  while (Date.now() < deadline) {
    if (child?.exitCode !== null) break
    const response = await fetch(url).catch(() => undefined)
    if (response?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`nothing answers at ${url}\n${child && printed.get(child)}`)
}

async function stopAll(processes: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    processes.map((child) => {
      if (child.exitCode !== null || child.signalCode !== null) return undefined
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      setTimeout(() => child.kill('SIGKILL'), 5000).unref()
      return gone
    }),
  )
}

/** `wanted`, or any free port when something else already listens there. */
function freePort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', () =>
      wanted === 0 ? reject(new Error('no free port')) : resolve(freePort(0)),
    )
    probe.listen(wanted, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
