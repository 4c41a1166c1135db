import type { z } from 'zod'
import { nearest } from '../lib/nearest.ts'
import { nodeAt, type SchemaNode, schemaTree } from './schema.ts'

/** One thing that is wrong with a configuration. */
export interface Problem {
  /** Where, as `tokens.lifetime_seconds` or `trust[0].spiffe`; a file or variable name when it is not in the tree. */
  readonly path: string
  readonly message: string
}

/** The configuration cannot be used. Lists everything that is wrong, and no secret. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    const lines = problems.map((problem) => `${problem.path}: ${problem.message}`)
    super(`the configuration cannot be used\n  ${lines.join('\n  ')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

function showPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, step) =>
      typeof step === 'number'
        ? `${text}[${step}]`
        : text === ''
          ? String(step)
          : `${text}.${String(step)}`,
    '',
  )
}

/** What zod found, in words: which key, what was expected, what is there instead. */
export function describeIssue(issue: z.core.$ZodIssue, settings: unknown): Problem[] {
  const path = showPath(issue.path)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: showPath([...issue.path, key]),
      message: unknownKey(key, issue.path),
    }))
  }
  const node = nodeAt(issue.path)
  const value = issue.path.reduce<unknown>(
    (inner, step) => (inner as Record<PropertyKey, unknown> | undefined)?.[step],
    settings,
  )
  // Rules over several keys say their own sentence; rules over one value share its description.
  const ownSentence = issue.code === 'custom' && issue.message !== 'Invalid input'
  if (ownSentence) return [{ path, message: issue.message }]
  const expected =
    node?.description ?? (node?.type === 'object' ? 'a group of settings' : issue.message)
  if (value === undefined) return [{ path, message: `is missing; expected ${expected}` }]
  return [{ path, message: `expected ${expected}, found ${show(value, node)}` }]
}

/** `unknown key; did you mean …?`, naming the nearest key at the same place or anywhere. */
export function unknownKey(key: string, at: readonly PropertyKey[]): string {
  const here = Object.keys(nodeAt(at)?.properties ?? {})
  const near = nearest(key, here)
  if (near !== undefined) return `unknown key; did you mean ${near}?`
  const elsewhere = allPaths(schemaTree).filter((path) => path.endsWith(`.${key}`))
  if (elsewhere.length > 0) return `unknown key here; did you mean ${elsewhere.join(' or ')}?`
  return `unknown key; known here: ${here.join(', ')}`
}

function show(value: unknown, node: SchemaNode | undefined): string {
  if (node?.secret) return 'something else'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (value !== null && typeof value === 'object') return 'a group of settings'
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

function allPaths(node: SchemaNode, prefix = ''): string[] {
  const inner = node.items ? allPaths(node.items, `${prefix}[]`) : []
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const path = prefix === '' ? key : `${prefix}.${key}`
    inner.push(path, ...allPaths(child, path))
  }
  return inner
}
