/**
 * The test data of RFC 8785 against the strict parser and `canonicalText`. Another text than the
 * expected one counts as a wrong accept: it would be a hash that nobody else computes.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonicalText } from '../../src/action/hash.ts'
import { JsonError, parseJson } from '../../src/lib/json.ts'
import type { CorpusResult } from './result.ts'

interface Case {
  readonly name: string
  readonly input_b64: string
  /** Absent where there is no canonical form: the input must be refused. */
  readonly output_b64?: string
}

export async function run(folder: string): Promise<CorpusResult> {
  const text = await readFile(join(folder, 'jcs-vectors.json'), 'utf8')
  const cases: readonly Case[] = JSON.parse(text).cases
  const wrongAccepts: string[] = []
  const wrongRejects: { id: string; reason: string }[] = []
  for (const { name, input_b64, output_b64 } of cases) {
    try {
      const canonical = canonicalText(parseJson(Buffer.from(input_b64, 'base64')))
      if (Buffer.from(canonical).toString('base64') !== output_b64) wrongAccepts.push(name)
    } catch (error) {
      if (!(error instanceof JsonError)) throw error
      if (output_b64 === undefined) continue
      wrongRejects.push({ id: name, reason: `${error.problem}: ${error.message}` })
    }
  }
  const right = cases.length - wrongAccepts.length - wrongRejects.length
  return { name: 'jcs-vectors', total: cases.length, right, wrongAccepts, wrongRejects }
}
