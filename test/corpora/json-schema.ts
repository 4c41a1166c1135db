/**
 * The JSON Schema test suite over the validation of arguments, as a pinned tool uses it: each schema is
 * that of one argument of one tool. The suite lets undeclared members pass, so it is run with
 * `argumentsOpen`; run closed, as is the default, nothing more may be accepted.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ArgumentCheck, compileArguments, TooCostly } from '../../src/catalogue/arguments.ts'
import { vetDefinition } from '../../src/catalogue/vet.ts'
import { isJsonObject, type Json, type JsonObject } from '../../src/lib/json.ts'
import type { CorpusResult } from './result.ts'

interface Group {
  readonly description: string
  readonly schema: Json
  readonly tests: readonly {
    readonly description: string
    readonly data: Json
    readonly valid: boolean
  }[]
}

export async function run(folder: string): Promise<CorpusResult> {
  const text = await readFile(join(folder, 'json-schema-2020-12.json'), 'utf8')
  const suite = JSON.parse(text).tests as Record<string, readonly Group[]>
  const wrongAccepts: string[] = []
  const wrongRejects: { id: string; reason: string }[] = []
  let total = 0
  for (const [file, groups] of Object.entries(suite)) {
    for (const group of groups) {
      const inputSchema = asTool(group.schema)
      const refused = vetDefinition('tool', { name: 'case', inputSchema }, true)
      const open = refused === undefined ? compileArguments(inputSchema, true) : undefined
      const closed = refused === undefined ? compileArguments(inputSchema, false) : undefined
      for (const { description, data, valid } of group.tests) {
        total++
        const id = `${file}: ${group.description}: ${description}`
        const why = open === undefined ? refused : whyNot(open, data)
        if (why === undefined && !valid) wrongAccepts.push(id)
        if (why !== undefined && valid) wrongRejects.push({ id, reason: why })
        if (closed !== undefined && !valid && whyNot(closed, data) === undefined) {
          wrongAccepts.push(`${id} (closed)`)
        }
      }
    }
  }
  const right = total - new Set(wrongAccepts).size - wrongRejects.length
  return { name: 'json-schema-2020-12', total, right, wrongAccepts, wrongRejects }
}

/** With an `$id`, so that `#` in the case still means the case. */
function asTool(schema: Json): JsonObject {
  const value =
    isJsonObject(schema) && schema.$id === undefined
      ? { ...schema, $id: 'https://corpus.example/case' }
      : schema
  return { type: 'object', properties: { value }, required: ['value'] }
}

function whyNot(check: ArgumentCheck, value: Json): string | undefined {
  try {
    const failure = check.check({ value })
    return failure && `${failure.path} ${failure.detail}`
  } catch (error) {
    if (error instanceof TooCostly) return error.message
    throw error
  }
}
