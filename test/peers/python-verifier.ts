// A broker of our own, and beside it a verifier in Python that is given its tokens.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Json, JsonObject } from '../../src/lib/json.ts'
import { makeProof, type SenderKey } from '../../src/token/proof.ts'
import { buildPython } from '../support/python.ts'
import { BOT, type Real, startReal } from './real.ts'

export const RESOURCE = 'http://127.0.0.1:4474/mcp'
export const TOOL = {
  name: 'transfer_funds',
  title: 'not part of the hash',
  description: 'Moves money, even “abroad” 💶',
  inputSchema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: { to: { type: 'string' }, amount: { type: 'number' }, note: { type: 'string' } },
  },
  annotations: { destructiveHint: true },
}
export const ARGUMENTS = { to: 'GB29', note: 'für “Zoë” 🎉\n', amount: 1200.5 }
const POLICIES = `permit (principal == Workload::"${BOT}",
  action in [Bank::Action::"transfer_funds", Bank::Action::"mcp:session"], resource);`

export interface Told extends JsonObject {
  readonly ok: boolean
}

export let real: Real
let python: ChildProcess
let lines: AsyncIterator<string>

export async function ask(
  what: string,
  asked: Record<string, Json | undefined> = {},
): Promise<Told> {
  python.stdin?.write(`${JSON.stringify({ ask: what, ...asked })}\n`)
  const { value, done } = await lines.next()
  assert.ok(done !== true, 'the Python verifier has ended')
  return JSON.parse(value)
}

export const base64 = (value: Json | Uint8Array) =>
  Buffer.from(value instanceof Uint8Array ? value : JSON.stringify(value)).toString('base64')
export const now = () => Date.now() / 1000

export async function tokenFor(key: SenderKey, action: boolean = true): Promise<string> {
  const url = `${real.issuer}/token`
  const details = {
    type: 'mcp_action',
    locations: [RESOURCE],
    actions: ['tools/call'],
    identifier: TOOL.name,
    arguments: ARGUMENTS,
    task: 'invoice-1',
  }
  const response = await fetch(url, {
    method: 'POST',
    headers: { DPoP: makeProof(key, { method: 'POST', url, now: now() }) },
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      resource: RESOURCE,
      subject_token: await real.svid(),
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      ...(action ? { authorization_details: JSON.stringify([details]) } : { scope: 'mcp:session' }),
    }),
  })
  const body = (await response.json()) as { access_token: string }
  assert.equal(response.status, 200, JSON.stringify(body))
  return body.access_token
}

interface Changes {
  readonly proof?: string
  readonly proofs?: string[]
  readonly scheme?: string
  readonly arguments?: Json
  readonly params?: JsonObject
  readonly method?: string
  readonly certificate?: string
}

export function check(key: SenderKey, token: string, changes: Changes = {}): Promise<Told> {
  const proof = makeProof(key, { method: 'POST', url: RESOURCE, now: now(), accessToken: token })
  const params = { name: TOOL.name, arguments: changes.arguments ?? ARGUMENTS, ...changes.params }
  const method = changes.method ?? 'tools/call'
  return ask('check', {
    authorization: [`${changes.scheme ?? 'DPoP'} ${token}`],
    dpop: changes.proofs ?? [changes.proof ?? proof],
    method: 'POST',
    body: base64({ jsonrpc: '2.0', id: 1, method, params }),
    certificate: changes.certificate,
  })
}

export async function startPython(): Promise<void> {
  const folder = new URL('./python/', import.meta.url)
  const interpreter = buildPython(fileURLToPath(new URL('requirements.txt', folder)))
  const tools = [TOOL] as unknown as JsonObject[]
  real = await startReal({ servers: { Bank: RESOURCE }, tools, policies: POLICIES })
  // No byte code is left in the source tree.
  python = spawn(interpreter, ['-B', fileURLToPath(new URL('main.py', folder))], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  lines = createInterface({ input: python.stdout! })[Symbol.asyncIterator]()
  const definitions = { [TOOL.name]: TOOL }
  const configured = await ask('configure', {
    issuer: real.issuer,
    resource: RESOURCE,
    definitions,
  })
  assert.deepEqual(configured, { ok: true })
}

export async function stopPython(): Promise<void> {
  if (python !== undefined) {
    python.stdin?.end()
    if (python.exitCode === null) await once(python, 'exit')
  }
  await real?.stop()
}
