import type { JsonObject } from '../lib/json.ts'
import { readPolicies } from '../policy/directory.ts'
import { checkFiles } from '../policy/dry-run.ts'
import { explain } from '../policy/explain.ts'
import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import type { AdminParts } from './parts.ts'
import { type Route, route } from './route.ts'
import {
  type Decision,
  decision,
  type Explain,
  explain as explainSchema,
  type Policies,
  type PolicyVerdict,
  policies,
  policyCheck,
  policyVerdict,
} from './schemas/policies.ts'
import { commandOf } from './shell.ts'
import { createTurns } from './turns.ts'

/** Checking takes a core for seconds, so only one check runs at a time. */
const turns = createTurns(4)

export const policyRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/policies',
    role: 'viewer',
    summary: 'The policies that serve now, as files and one by one',
    answer: policies,
    run: async ({ parts }) => servedBy(parts),
  }),
  route({
    method: 'POST',
    path: '/v1/policies/check',
    role: 'viewer',
    summary: 'Whether policies would load: those of the directory, or those sent; changes nothing',
    body: policyCheck,
    answer: policyVerdict,
    run: ({ parts, body }) => turns.take(() => verdictOn(parts, body.files)),
  }),
  route({
    method: 'POST',
    path: '/v1/policies/explain',
    role: 'viewer',
    summary: 'May this workload do this, and which policies say so; changes nothing',
    body: explainSchema,
    answer: decision,
    run: async ({ parts, body, now }) => decide(parts, body, now),
  }),
]

function servedBy(parts: AdminParts): Policies {
  const { version, served } = parts.policies
  return {
    version,
    catalogueVersion: parts.catalogue().version,
    files: served.files.map(({ name, text }) => ({ name, text })),
    policies: served.policies.map(({ id, effect, file, line, text, annotations }) => ({
      id,
      effect,
      file,
      line,
      text,
      annotations: { ...annotations },
    })),
  }
}

async function verdictOn(
  { policies: serving, policyDirectory, catalogue }: AdminParts,
  given: Policies['files'] | undefined,
): Promise<PolicyVerdict> {
  const refused = (problems: readonly string[]) => ({
    ok: false,
    problems: [...problems],
    policies: 0,
    serves: false,
  })
  let files = given
  if (files === undefined) {
    try {
      files = await readPolicies(policyDirectory)
    } catch (error) {
      return refused([error instanceof Error ? error.message : String(error)])
    }
  }
  const answer = await checkFiles(files, catalogue())
  if (!answer.ok) return refused(answer.problems)
  const { version } = answer.decider()
  const serves = version === serving.version
  return { ok: true, problems: [], policies: answer.policies.length, version, serves }
}

function decide(parts: AdminParts, asked: Explain, now: number): Decision {
  const { workload, principal, server, method, name, task, address, at, binding } = asked
  const args = asked.arguments as JsonObject | undefined
  if (method === 'resources/read' && args !== undefined) {
    refuseAdmin({
      code: 'request_invalid',
      pointer: '/arguments',
      detail: 'a resource takes no arguments',
    })
  }
  const action = name === undefined ? undefined : { method, name, arguments: args, task }
  const explained = explain(
    {
      workload,
      attributes: asked.attributes,
      principal,
      server,
      action,
      time: at ?? now,
      address,
      binding,
    },
    { catalogue: parts.catalogue(), policies: parts.policies },
  )
  const command = explainCommand(asked)
  if (explained.effect === 'refused') {
    const { code, ...evidence } = explained.reason
    return { effect: 'deny', policies: [], reason: code, evidence, ...command }
  }
  const { effect, policies: ids, version, lifetimeSeconds, maxUses } = explained
  return {
    effect,
    policies: [...ids],
    policyVersion: version,
    ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }),
    ...(explained.binding === undefined ? {} : { binding: explained.binding }),
    maxUses,
    ...command,
  }
}

/** Without one for what the command cannot ask. */
function explainCommand(asked: Explain): { command?: string } {
  const { workload, principal, server, method, name, task, address, at, binding } = asked
  if (asked.attributes !== undefined || binding !== 'dpop') return {}
  const option = (flag: string, value: string | undefined) =>
    value === undefined ? [] : [`--${flag}`, value]
  const args = asked.arguments === undefined ? undefined : JSON.stringify(asked.arguments)
  const time = at === undefined ? undefined : new Date(at * 1000).toISOString()
  return {
    command: commandOf(
      ...['writ', 'policy', 'explain', '--agent', workload, '--server', server],
      ...(name === undefined ? [] : ['--method', method, '--name', name]),
      ...option('arguments', args),
      ...option('principal', principal),
      ...option('task', task),
      ...option('address', address),
      ...option('at', time),
    ),
  }
}
