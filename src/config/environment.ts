/**
 * Settings from the environment: `WRIT_TOKENS__LIFETIME_SECONDS=30` is `tokens.lifetime_seconds`,
 * `WRIT_SERVERS__0__RESOURCE` the first server's `resource`. A secret may be in a file that
 * `WRIT_STORE__REDIS__PASSWORD_FILE` names. A whole list or group is given as YAML or JSON text.
 */
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { type Problem, unknownKey } from './problems.ts'
import { nodeAt, type SchemaNode } from './schema.ts'

/** Variables of the same prefix that are not settings. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set(['WRIT_CONFIG', 'WRIT_DEBUG'])

/** Puts every `WRIT_` variable into `settings`; what cannot be placed is added to `problems`. */
export async function applyEnvironment(
  settings: Record<string, unknown>,
  env: Readonly<Record<string, string | undefined>>,
  problems: Problem[],
): Promise<void> {
  for (const name of Object.keys(env).sort()) {
    const text = env[name]
    if (text === undefined || !name.startsWith('WRIT_') || OTHER_VARIABLES.has(name)) continue
    const path = name
      .slice('WRIT_'.length)
      .toLowerCase()
      .split('__')
      .map((step) => (/^\d{1,4}$/.test(step) ? Number(step) : step))
    const node = nodeAt(path)
    if (node !== undefined) {
      place(settings, path, typed(text, node))
      continue
    }
    const secretPath = pathOfSecret(path)
    if (secretPath === undefined) {
      problems.push({ path: name, message: unknownVariable(path) })
      continue
    }
    try {
      place(settings, secretPath, (await readFile(text, 'utf8')).replace(/\r?\n$/, ''))
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      problems.push({ path: name, message: `the file it names cannot be read: ${code}` })
    }
  }
}

/** `…password_file` → `…password`, when that is a secret of ours. */
function pathOfSecret(path: readonly (string | number)[]): (string | number)[] | undefined {
  const last = path.at(-1)
  if (typeof last !== 'string' || !last.endsWith('_file')) return undefined
  const target = [...path.slice(0, -1), last.slice(0, -'_file'.length)]
  return nodeAt(target)?.secret ? target : undefined
}

function unknownVariable(path: readonly (string | number)[]): string {
  const known = path.findIndex((_, i) => nodeAt(path.slice(0, i + 1)) === undefined)
  const message = unknownKey(String(path[known]), path.slice(0, known))
  return message.replace('unknown key', 'unknown setting')
}

function typed(text: string, node: SchemaNode): unknown {
  switch (node.type) {
    case 'integer':
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'array':
    case 'object':
      try {
        return parse(text)
      } catch {
        return text
      }
    default:
      return text
  }
}

function place(
  settings: Record<string, unknown>,
  path: readonly (string | number)[],
  value: unknown,
): void {
  let at = settings as Record<string | number, unknown>
  for (const [i, step] of path.slice(0, -1).entries()) {
    if (at[step] === null || typeof at[step] !== 'object') {
      at[step] = typeof path[i + 1] === 'number' ? [] : {}
    }
    at = at[step] as Record<string | number, unknown>
  }
  at[path.at(-1)!] = value
}
