/** The language-neutral vectors, read once and typed. */
import { readFileSync } from 'node:fs'
import type { Json, JsonObject } from '../../src/lib/json.ts'

export interface TextVector {
  readonly name: string
  readonly json?: string
  readonly base64?: string
}

export interface HashVector extends TextVector {
  readonly json: string
  readonly canonical: string
  readonly hash: string
}

export interface MessageVector extends TextVector {
  readonly headers?: Readonly<Record<string, string>>
  readonly kind?: string
  readonly era?: string
  readonly demand?: JsonObject
  readonly refuse?: string
}

export interface MatchVector {
  readonly name: string
  readonly details: readonly Json[]
  readonly server: string
  readonly definition_hash: string | null
  readonly message: JsonObject
  readonly result: string
}

function read(name: string) {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'))
}

export const hashVectors: {
  readonly arguments: readonly HashVector[]
  readonly definitions: readonly HashVector[]
  readonly inputs: readonly HashVector[]
  readonly refused: readonly TextVector[]
} = read('hashes')

export const messageVectors: readonly MessageVector[] = read('messages').cases

export const detailVectors: {
  readonly requests: readonly { name: string; details: Json; accept: boolean }[]
  readonly grants: readonly { name: string; element: Json; accept: boolean; reserved?: true }[]
  readonly matches: readonly MatchVector[]
} = read('details')

/** What arrived: a text, or bytes that may not be one. */
export function received(vector: TextVector): Uint8Array {
  return vector.base64 === undefined
    ? Buffer.from(vector.json ?? '')
    : Buffer.from(vector.base64, 'base64')
}
