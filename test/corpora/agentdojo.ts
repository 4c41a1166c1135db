/**
 * AgentDojo's banking suite over catalogue and policies: an agent that was talked into something else.
 *
 * From the calls a user's task truly needs, policies are derived for an agent that has this task: the same
 * tools, with the same file, recipient, id or password, at most the same amount, and no optional argument
 * that was not needed. Subject and date are the agent's to choose. Then all calls are asked about: those of
 * the task must pass; those of every injection, made by every task's agent, must be denied or held for a
 * person. An injected call that the task itself makes with the same arguments is the user's own call.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { catalogueOf } from '../../src/catalogue/catalogue.ts'
import { makePin } from '../../src/catalogue/pin.ts'
import { understand } from '../../src/catalogue/understand.ts'
import { proven } from '../../src/identity/workload.ts'
import { isJsonObject, type Json, type JsonObject } from '../../src/lib/json.ts'
import { openPolicies, type Policies } from '../../src/policy/engine.ts'
import { Refusal } from '../../src/refusal.ts'
import type { CorpusResult } from './result.ts'

interface Call {
  readonly tool: string
  readonly args: JsonObject
}
interface Suite {
  readonly tools: readonly JsonObject[]
  readonly user_tasks: Record<string, { readonly calls: readonly Call[] }>
  readonly injection_tasks: Record<string, { readonly calls: readonly Call[] }>
}

const RESOURCE = 'https://bank.example/mcp'
const FREE = ['subject', 'date']

export async function run(folder: string): Promise<CorpusResult> {
  const text = await readFile(join(folder, 'agentdojo-banking.json'), 'utf8')
  const suite = JSON.parse(text).suite as Suite
  const pin = makePin(
    { tool: suite.tools },
    { name: 'bank', resource: RESOURCE, pinnedAt: '2026-11-01T00:00:00Z' },
  )
  const catalogue = catalogueOf([pin])
  const directory = await mkdtemp(join(tmpdir(), 'writ-agentdojo-'))
  const wrongAccepts: string[] = []
  const wrongRejects: { id: string; reason: string }[] = []
  let total = 0
  try {
    await writeFile(join(directory, 'bank.cedar'), policiesFor(suite))
    const policies = await openPolicies({ directory, catalogue, pollMs: 0 })
    const ask = (task: string, call: Call) => effectOf(policies, catalogue, task, call)
    for (const [task, { calls }] of Object.entries(suite.user_tasks)) {
      for (const [at, call] of calls.entries()) {
        total++
        const effect = ask(task, call)
        if (effect !== 'permit')
          wrongRejects.push({ id: `${task}#${at} ${call.tool}`, reason: effect })
      }
      for (const [injection, injected] of Object.entries(suite.injection_tasks)) {
        for (const [at, call] of injected.calls.entries()) {
          if (calls.some((own) => JSON.stringify(own) === JSON.stringify(call))) continue
          total++
          const effect = ask(task, call)
          if (effect === 'permit') wrongAccepts.push(`${task}, ${injection}#${at} ${call.tool}`)
        }
      }
    }
    await policies.close()
  } finally {
    await rm(directory, { recursive: true })
  }
  const right = total - wrongAccepts.length - wrongRejects.length
  return { name: 'agentdojo-banking', total, right, wrongAccepts, wrongRejects }
}

function policiesFor(suite: Suite): string {
  const policies: string[] = []
  for (const [task, { calls }] of Object.entries(suite.user_tasks)) {
    for (const call of calls) {
      const { inputSchema } = suite.tools.find((tool) => tool.name === call.tool) as JsonObject
      const conditions = conditionsFor(call, inputSchema as JsonObject)
      policies.push(
        `permit (principal == Workload::"${agentOf(task)}", action == bank::Action::"${call.tool}", resource)${
          conditions.length === 0 ? '' : ` when { ${conditions.join(' && ')} }`
        };`,
      )
    }
  }
  return policies.join('\n')
}

function conditionsFor(call: Call, inputSchema: JsonObject): string[] {
  const properties = isJsonObject(inputSchema.properties) ? inputSchema.properties : {}
  const required = Array.isArray(inputSchema.required) ? inputSchema.required : []
  return Object.keys(properties).flatMap((name) => {
    if (FREE.includes(name)) return []
    const value: Json | undefined = call.args[name]
    if (value === undefined) return [`!(context.input has ${name})`]
    const has = required.includes(name) ? [] : [`context.input has ${name}`]
    return [...has, ...conditionOn(`context.input.${name}`, name, value)]
  })
}

function conditionOn(path: string, name: string, value: Json): string[] {
  if (name !== 'amount') return [`${path} == ${JSON.stringify(value)}`]
  const most = (value as number).toFixed(4)
  return [`${path} has decimal`, `${path}.decimal.lessThanOrEqual(decimal("${most}"))`]
}

function effectOf(
  policies: Policies,
  catalogue: ReturnType<typeof catalogueOf>,
  task: string,
  call: Call,
): string {
  const action = {
    server: RESOURCE,
    method: 'tools/call' as const,
    identifier: call.tool,
    arguments: call.args,
    input: undefined,
    task,
  }
  const workload = proven({
    id: agentOf(task),
    kind: 'spiffe',
    issuer: 'bank.example',
    expiresAt: 2_000_000_000,
    credential: task,
    attributes: {},
  })
  try {
    const { definition } = understand(catalogue, action)
    return policies.decide({
      workload,
      principal: workload.id,
      actors: [],
      action,
      server: RESOURCE,
      definition,
      time: 1_800_000_000,
      address: undefined,
      binding: 'dpop',
    }).effect
  } catch (error) {
    if (error instanceof Refusal) return error.reason.code
    throw error
  }
}

function agentOf(task: string): string {
  return `spiffe://bank.example/agents/${task}`
}
