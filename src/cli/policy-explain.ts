import type { Command } from 'commander'
import { isJsonObject, JsonError, type JsonObject, parseJson } from '../lib/json.ts'
import type { Decision } from '../policy/engine.ts'
import type { AskedAction, Explained } from '../policy/explain.ts'
import { Refusal } from '../refusal.ts'
import { type Answer, CliError } from './answer.ts'
import { finish } from './command.ts'
import { readInput } from './input.ts'
import { type ConfigOption, readConfig, withConfig } from './settings.ts'
import { jsonText, table } from './text.ts'

interface Options extends ConfigOption {
  agent: string
  server: string
  method: string
  name?: string
  arguments?: string
  argumentsFile?: string
  principal?: string
  task?: string
  address?: string
  at?: string
}

const METHODS: readonly AskedAction['method'][] = ['tools/call', 'prompts/get', 'resources/read']

export function addPolicyExplain(policy: Command): void {
  const explain = withConfig(policy.command('explain'))
    .description('may this agent do this, and which policies say so; exit code 1 unless permitted')
    .requiredOption('--agent <id>', 'who asks: a SPIFFE ID, or oidc:<alias>:<subject>')
    .requiredOption('--server <resource>', "the MCP server's resource URI")
    .option('--method <method>', METHODS.join(', '), 'tools/call')
    .option('--name <name>', 'the tool, prompt or resource; without, a session token is asked for')
    .option('--arguments <json>', 'its arguments')
    .option('--arguments-file <file>', 'its arguments, from a file or - for standard input')
    .option('--principal <id>', 'for whom; the agent itself')
    .option('--task <label>', 'the label of the task')
    .option('--address <ip>', 'the address of the caller')
    .option('--at <time>', 'when, as in 2026-11-21T09:00:00Z; now')
  const example =
    'writ policy explain --agent spiffe://corp.example/agents/bot --server https://mcp.example/mcp' +
    ` --name transfer_funds --arguments '{"amount":5}'`
  finish(explain, example, explainDecision)
}

async function explainDecision(options: Options): Promise<Answer> {
  const { agent, server, principal, address } = options
  const action = await actionOf(options)
  const time = timeOf(options.at)
  const config = await readConfig(options)
  const { openRules } = await import('./rules.ts')
  const { explain } = await import('../policy/explain.ts')
  await using rules = await openRules(config)
  const question = { workload: agent, server, principal, address, action, time } as const
  const explained = ofAgent(agent, () => explain({ ...question, binding: 'dpop' }, rules))
  if (explained.effect !== 'refused') return answerOf(explained, options)
  const { code, ...evidence } = explained.reason
  return {
    json: { effect: 'deny', reason: code, evidence, policies: [] },
    text: `no: ${code.replaceAll('_', ' ')}, before any policy is asked ${jsonText(evidence)}`,
    exitCode: 1,
  }
}

function answerOf(decision: Decision, options: Options): Answer {
  const { effect, policies, version, lifetimeSeconds, binding, maxUses } = decision
  const words = {
    permit: 'yes',
    ask: 'only when a person approves',
    deny: policies.length > 0 ? 'no, a policy forbids it' : 'no, no policy permits it',
  }
  const what = options.name === undefined ? 'a session token' : `${options.method} ${options.name}`
  return {
    json: { effect, policies, policyVersion: version, lifetimeSeconds, binding, maxUses },
    text: [
      words[effect],
      table([
        ['agent', options.agent],
        ['asks for', `${what} at ${options.server}`],
        ['decided by', policies.length > 0 ? policies.join(', ') : 'default deny'],
        ['version', version],
        ['lifetime', lifetimeSeconds === undefined ? undefined : `${lifetimeSeconds} s`],
        ['key', binding],
        ['uses', effect === 'deny' ? undefined : String(maxUses)],
      ]),
    ].join('\n'),
    exitCode: effect === 'permit' ? 0 : 1,
  }
}

function ofAgent(id: string, ask: () => Explained): Explained {
  try {
    return ask()
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason.code !== 'identity_invalid') throw error
    throw new CliError('usage', `"${id}" is no id of a workload`, {
      hint: 'as in spiffe://corp.example/agents/report-bot or oidc:github:repo:corp/app',
    })
  }
}

async function actionOf(options: Options): Promise<AskedAction | undefined> {
  const { name, task } = options
  if (name === undefined) return undefined
  const method = METHODS.find((one) => one === options.method)
  if (method === undefined) {
    throw new CliError('usage', `"${options.method}" is no method, expected ${METHODS.join(', ')}`)
  }
  const args = method === 'resources/read' ? undefined : await argumentsOf(options)
  return { method, name, task, arguments: args }
}

async function argumentsOf(options: Options): Promise<JsonObject> {
  const file = options.argumentsFile
  const text = file === undefined ? (options.arguments ?? '{}') : await readInput(file)
  try {
    const json = parseJson(text)
    if (isJsonObject(json)) return json
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    throw new CliError('usage', `the arguments are no strict JSON: ${error.message}`)
  }
  throw new CliError('usage', 'the arguments are no JSON object')
}

function timeOf(text: string | undefined): number {
  const ms = text === undefined ? Date.now() : Date.parse(text)
  if (!Number.isNaN(ms)) return ms / 1000
  throw new CliError('usage', `"${text}" is no time, expected one as in 2026-11-21T09:00:00Z`)
}
