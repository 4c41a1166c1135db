/**
 * nst/JSONTestSuite against the strict parser. A case that may go either way must still end in a
 * value or a JsonError, and never in a value other than what JSON.parse makes of it.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Json, JsonError, parseJson } from '../../src/lib/json.ts'
import type { CorpusResult } from './result.ts'

interface Case {
  readonly name: string
  /** In words, or by the letter that starts the file's name in the original suite. */
  readonly expect: 'accept' | 'reject' | 'either' | 'y' | 'n' | 'i'
  readonly b64: string
}

type Answer = { readonly value: Json } | { readonly refused: string }

export async function run(folder: string): Promise<CorpusResult> {
  const text = await readFile(join(folder, 'jsontestsuite.json'), 'utf8')
  const cases: readonly Case[] = JSON.parse(text).cases
  const wrongAccepts: string[] = []
  const wrongRejects: { id: string; reason: string }[] = []
  for (const { name, expect, b64 } of cases) {
    const bytes = Buffer.from(b64, 'base64')
    const answer = answerTo(bytes)
    if ('refused' in answer) {
      if (expect === 'accept' || expect === 'y')
        wrongRejects.push({ id: name, reason: answer.refused })
    } else if (expect === 'reject' || expect === 'n' || !isSameValue(answer.value, bytes)) {
      wrongAccepts.push(name)
    }
  }
  const right = cases.length - wrongAccepts.length - wrongRejects.length
  return { name: 'jsontestsuite', total: cases.length, right, wrongAccepts, wrongRejects }
}

function answerTo(bytes: Uint8Array): Answer {
  try {
    return { value: parseJson(bytes) }
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return { refused: `${error.problem}: ${error.message}` }
  }
}

/** Compared as written again, where -0 is 0. What JSON.parse refuses is the same as nothing. */
function isSameValue(value: Json, bytes: Buffer): boolean {
  try {
    const loose = JSON.parse(bytes.toString('utf8'))
    return JSON.stringify(value) === JSON.stringify(loose)
  } catch {
    return false
  }
}
