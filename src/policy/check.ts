/**
 * Policy files → policies that are known to parse, to fit the schema and to say what they mean.
 *
 * Runs in a worker thread (`check-worker.ts`): a text that is nested deeply enough kills the engine
 * it is parsed in, and that must not be the one that decides.
 */
import type { DetailedError, PolicyJson, SchemaJson } from '@cedar-policy/cedar-wasm/nodejs'
import { nearest } from '../lib/nearest.ts'
import { type Conditions, parseAnnotations } from './annotations.ts'
import type { Cedar } from './cedar.ts'
import { lineOfByte, splitPolicies } from './policy-text.ts'
import { type Reads, readsOf } from './reads.ts'

export interface PolicyFile {
  readonly name: string
  readonly text: string
}

/** A policy that can be decided with. */
export interface CheckedPolicy {
  /** `@id`, or file name and number, as in `notes.cedar#2`. */
  readonly id: string
  readonly file: string
  readonly line: number
  readonly text: string
  readonly effect: 'permit' | 'forbid'
  /** As written, without `id`. */
  readonly annotations: Readonly<Record<string, string>>
  readonly scope: Pick<PolicyJson, 'principal' | 'action' | 'resource'>
  readonly conditions: Conditions
  readonly reads: Reads
}

export type CheckAnswer =
  | { readonly ok: true; readonly policies: readonly CheckedPolicy[] }
  | { readonly ok: false; readonly problems: readonly string[] }

export interface CheckQuestion {
  readonly files: readonly PolicyFile[]
  readonly schema: SchemaJson<string>
  /** The resource URIs of the catalogue. */
  readonly servers: readonly string[]
}

/**
 * The engine's own stack ends somewhere between 100 and 150 brackets, and between 150 and 400 operators
 * in a row. It must not end in the instance that decides, so policies stay well below.
 */
const MAX_BRACKETS = 60
/** Levels of the parsed tree; an operator is two. */
const MAX_LEVELS = 250

/** `onFile` is told which file is next, by its place, so that a crash can be blamed on one. */
export function checkPolicies(
  cedar: Cedar,
  question: CheckQuestion,
  onFile: (at: number) => void,
): CheckAnswer {
  const problems: string[] = []
  const policies = new Map<string, CheckedPolicy>()
  for (const [index, file] of question.files.entries()) {
    onFile(index)
    for (const [at, { text, line }] of splitPolicies(file.text).entries()) {
      const place = (offset: number) => `${file.name}:${lineOfByte(text, offset, line)}`
      const parsed = cedar.policyToJson(text)
      if (parsed.type === 'failure') {
        problems.push(
          ...parsed.errors.map((error) => `${place(startOf(error))}: ${wordsOf(error)}`),
        )
        continue
      }
      const { json } = parsed
      try {
        const policy = read(json, { file: file.name, line, text, number: at + 1 }, question)
        const twin = policies.get(policy.id)
        if (twin !== undefined) {
          throw new Error(`@id "${policy.id}" is taken by ${twin.file}:${twin.line}`)
        }
        policies.set(policy.id, policy)
      } catch (error) {
        problems.push(`${place(0)}: ${(error as Error).message}`)
      }
    }
  }
  if (problems.length === 0) problems.push(...validate(cedar, question, policies, onFile))
  if (problems.length > 0) return { ok: false, problems }
  return { ok: true, policies: [...policies.values()] }
}

function read(
  json: PolicyJson,
  source: { file: string; line: number; text: string; number: number },
  question: CheckQuestion,
): CheckedPolicy {
  if (nestingOf(json.conditions) > MAX_LEVELS || brackets(source.text) > MAX_BRACKETS) {
    throw new Error('is nested too deeply; split it, or use a set: ["a", "b"].contains(…)')
  }
  knownServers(json, question.servers)
  knownHierarchy(json.conditions)
  const { id, ...annotations } = json.annotations ?? {}
  return {
    id: id ?? `${source.file}#${source.number}`,
    file: source.file,
    line: source.line,
    text: source.text,
    effect: json.effect,
    annotations,
    scope: { principal: json.principal, action: json.action, resource: json.resource },
    conditions: parseAnnotations(annotations, json.effect),
    reads: readsOf(json),
  }
}

/** Cedar cannot know which entities exist; a policy about a server that is not there is a mistake. */
function knownServers(node: unknown, servers: readonly string[]): void {
  if (typeof node !== 'object' || node === null) return
  const { type, id } = node as { type?: unknown; id?: unknown }
  if (type === 'McpServer' && typeof id === 'string' && !servers.includes(id)) {
    const hint = nearest(id, servers) ?? servers[0]
    throw new Error(
      `McpServer::${JSON.stringify(id)} is not in the catalogue${hint === undefined ? '' : `; did you mean McpServer::${JSON.stringify(hint)}?`}`,
    )
  }
  for (const child of Object.values(node)) knownServers(child, servers)
}

/**
 * Only what the principal and the action of the question belong to is handed to the engine, so `in`
 * about any other entity would be answered with no, and a forbid that asks it would never apply.
 */
function knownHierarchy(node: unknown): void {
  if (typeof node !== 'object' || node === null) return
  const { in: within, is } = node as {
    in?: { left?: { Var?: unknown } }
    is?: { left?: { Var?: unknown }; in?: unknown }
  }
  const left = within?.left ?? (is?.in === undefined ? undefined : is.left)
  if (left !== undefined && left.Var === undefined) {
    throw new Error('`in` can only be asked of principal, action and resource')
  }
  for (const child of Object.values(node)) knownHierarchy(child)
}

/** Warnings count: a policy that can never apply, or that hides a character, is not what was meant. */
function validate(
  cedar: Cedar,
  question: CheckQuestion,
  policies: ReadonlyMap<string, CheckedPolicy>,
  onFile: (at: number) => void,
): string[] {
  onFile(question.files.length)
  const texts = Object.fromEntries([...policies].map(([id, policy]) => [id, policy.text]))
  const answer = cedar.validate({ schema: question.schema, policies: { staticPolicies: texts } })
  if (answer.type === 'failure') return answer.errors.map((error) => wordsOf(error))
  const errors = answer.validationErrors
  const failed = new Set(errors.map((each) => each.policyId))
  // An error makes follow-up warnings about the same policy ("is impossible"); they help nobody.
  const warnings = answer.validationWarnings.filter((each) => !failed.has(each.policyId))
  const known = actionNames(question.schema)
  const problems = [...errors, ...warnings].map(({ policyId, error }) => {
    const policy = policies.get(policyId)
    if (policy === undefined) return wordsOf(error, known)
    const line = lineOfByte(policy.text, startOf(error), policy.line)
    return `${policy.file}:${line}: ${wordsOf(error, known)}`
  })
  return [...problems, ...answer.otherWarnings.map((error) => wordsOf(error))]
}

/** One sentence: what is wrong, and the nearest thing that would be right. */
function wordsOf(error: DetailedError, actions: readonly string[] = []): string {
  const unknown = /unrecognized action `(.*)`/.exec(error.message)?.[1]
  const action = unknown === undefined ? undefined : nearest(unknown, actions)
  const expected = error.sourceLocations?.[0]?.label
  const help = action === undefined ? (error.help ?? expected) : `did you mean \`${action}\`?`
  return help === null || help === undefined ? error.message : `${error.message}; ${help}`
}

function startOf(error: DetailedError): number {
  return error.sourceLocations?.[0]?.start ?? 0
}

function actionNames(schema: SchemaJson<string>): string[] {
  return Object.entries(schema).flatMap(([namespace, { actions }]) =>
    Object.keys(actions).map(
      (id) => `${namespace === '' ? '' : `${namespace}::`}Action::${JSON.stringify(id)}`,
    ),
  )
}

/** How deep the tree of an expression is. Loops over levels: it must not overflow itself. */
function nestingOf(root: unknown): number {
  let level: unknown[] = [root]
  let depth = 0
  while (level.length > 0) {
    depth++
    level = level.flatMap((node) =>
      typeof node === 'object' && node !== null ? Object.values(node) : [],
    )
  }
  return depth
}

function brackets(text: string): number {
  let depth = 0
  let most = 0
  for (const char of text.replace(/"(?:[^"\\]|\\.)*"/g, '')) {
    if ('([{'.includes(char)) most = Math.max(most, ++depth)
    else if (')]}'.includes(char)) depth--
  }
  return most
}
