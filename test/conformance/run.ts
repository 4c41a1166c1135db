// Runs the scenarios of the MCP conformance suite that apply to Writ, on loopback, and prints a table.
// Ends with 1 when a check of one of them fails, or when a scenario was not run at all.
import { execFile } from 'node:child_process'
import { glob, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createAgent } from '../../src/agent/index.ts'
import { type Demo, startDemo } from '../examples/demo.ts'
import { SCENARIOS, type Scenario, whyNotRun } from './scenarios.ts'
import { throughAgent } from './through-agent.ts'

interface Check {
  readonly id: string
  readonly status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'INFO' | 'SKIPPED'
  readonly errorMessage?: string
}

const TIMEOUT_MS = 60_000
const root = fileURLToPath(new URL('../..', import.meta.url))
const suite = join(root, 'node_modules/@modelcontextprotocol/conformance/dist/index.js')
const execute = promisify(execFile)

// Whoever reads the table may stop reading; the broker still has to be stopped.
process.stdout.on('error', () => {})

const folder = await mkdtemp(join(tmpdir(), 'writ-conformance-'))
try {
  const demo = await startDemo(join(folder, 'demo'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void demo.stop().then(() => process.exit(1)))
  }
  const agent = createAgent({ broker: demo.issuer, identity: () => svid(demo) })
  const gated = await throughAgent(demo.resource, agent.fetch)
  const targets = { server: gated.url, authorization: demo.issuer }
  try {
    const results = []
    for (const scenario of SCENARIOS) {
      results.push({ scenario, checks: await run(scenario, targets) })
    }
    report(results)
    await reportNotRun()
  } finally {
    await gated.close()
    await demo.stop()
  }
} finally {
  await rm(folder, { recursive: true })
}

function svid({ domain, issuer }: Demo): Promise<string> {
  const now = Date.now() / 1000
  const path = '/agents/report-bot'
  return domain.issueJwtSvid({ path, audience: issuer, lifetimeSeconds: 300, now })
}

async function run(
  scenario: Scenario,
  targets: Record<'server' | 'authorization', string>,
): Promise<Check[]> {
  const output = await mkdtemp(join(folder, 'results-'))
  const args = [scenario.side, '--scenario', scenario.name, '-o', output]
  if (scenario.side === 'client') {
    args.push(
      '--command',
      `${process.execPath} ${join(root, 'test/conformance', scenario.program ?? 'client.ts')}`,
    )
    if (scenario.specVersion !== undefined) {
      args.push('--spec-version', scenario.specVersion, '--force')
    }
  } else {
    args.push('--url', targets[scenario.side])
  }
  const env = {
    ...process.env,
    WRIT_SDK: scenario.sdk ?? 'v2',
    WRIT_BEARER: scenario.bearer ? '1' : '',
    NODE_NO_WARNINGS: '1',
  }
  // Its exit code repeats what the checks say, and says 0 for a scenario that it skipped.
  await execute(process.execPath, [suite, ...args], { env, timeout: TIMEOUT_MS }).catch(() => {})
  const checks: Check[] = []
  for await (const file of glob('**/checks.json', { cwd: output })) {
    checks.push(...JSON.parse(await readFile(join(output, file), 'utf8')))
  }
  return checks.filter(({ status }) => status !== 'INFO')
}

function report(results: readonly { scenario: Scenario; checks: readonly Check[] }[]): void {
  const rows = results.map(({ scenario, checks }) => ({
    scenario: scenario.name,
    subject: scenario.subject,
    passed: checks.filter(({ status }) => status === 'SUCCESS').length,
    all: checks.length,
    notes: checks
      .filter(({ status }) => status !== 'SUCCESS')
      .map(({ id, status, errorMessage }) => `${status.toLowerCase()} ${id}: ${errorMessage}`),
  }))
  say(`${'scenario'.padEnd(40)} ${'tested'.padEnd(32)} passed  in all`)
  for (const { scenario, subject, passed, all, notes } of rows) {
    say(
      `${scenario.padEnd(40)} ${subject.padEnd(32)} ${String(passed).padStart(6)}  ${String(all).padStart(6)}`,
    )
    for (const note of notes) say(`    ${note}`)
  }
  const failed = results.filter(
    ({ checks }) => checks.length === 0 || checks.some(({ status }) => status === 'FAILURE'),
  )
  if (failed.length === 0) return
  process.exitCode = 1
  for (const { scenario, checks } of failed) {
    const why = checks.length === 0 ? 'did not run' : 'failed'
    console.error(`writ: error: ${scenario.name} (${scenario.subject}) ${why}`)
  }
}

/** Every other scenario that the installed suite has, by the reason for which it is not run. */
async function reportNotRun(): Promise<void> {
  const sides = { Server: 'server', Client: 'client', Authorization: 'authorization' } as const
  const ours = new Set(SCENARIOS.map(({ name }) => name))
  const reasons = new Map<string, string[]>()
  const { stdout } = await execute(process.execPath, [suite, 'list'])
  let side: Scenario['side'] | undefined
  for (const line of stdout.split('\n')) {
    const heading = /^(Server|Client|Authorization)\b/.exec(line)?.[1] as keyof typeof sides
    if (heading) side = sides[heading]
    const name = /^ {2}- (\S+)/.exec(line)?.[1]
    if (name === undefined || side === undefined || ours.has(name)) continue
    const why = `${side}: ${whyNotRun(side, name)}`
    reasons.set(why, [...(reasons.get(why) ?? []), name])
  }
  say('\nnot run, and why:')
  for (const [why, names] of reasons) say(`- ${why}\n    ${names.join(', ')}`)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
