// Opens policies that are written down in a test, and asks them.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Action } from '../../src/action/action.ts'
import type { Catalogue } from '../../src/catalogue/catalogue.ts'
import { proven, type Workload } from '../../src/identity/workload.ts'
import { loadCedar } from '../../src/policy/cedar.ts'
import { checkPolicies } from '../../src/policy/check.ts'
import { Decider, type Decision, Places } from '../../src/policy/decider.ts'
import { type DecisionInput, openPolicies, type PolicyOptions } from '../../src/policy/engine.ts'
import { vocabularyOf } from '../../src/policy/vocabulary.ts'
import { RESOURCE } from '../catalogue/pins.ts'

export const NOW = 1_800_000_000

/** A folder with these policy files, removed after the test. */
export async function folderWith(t: TestContext, files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-policy-'))
  t.after(() => rm(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  return folder
}

/** Policies out of one text, without polling unless asked for. */
export async function open(
  t: TestContext,
  catalogue: Catalogue,
  text: string,
  more: Partial<PolicyOptions> = {},
) {
  const directory = await folderWith(t, { 'test.cedar': text })
  const policies = await openPolicies({ directory, catalogue, pollMs: 0, ...more })
  t.after(() => policies.close())
  return { policies, directory }
}

export function workload(id = 'spiffe://corp.example/agents/bot'): Workload {
  const oidc = id.startsWith('oidc:')
  return proven({
    id,
    kind: oidc ? 'oidc' : 'spiffe',
    issuer: oidc ? (id.split(':')[1] as string) : (id.split('/')[2] as string),
    expiresAt: NOW + 300,
    credential: 'c',
    attributes: { team: 'red' },
  })
}

const cedar = loadCedar()
const places = new Places()

/** Decides by one text, without files, worker and reloads. */
export function decideBy(catalogue: Catalogue, text: string): (input: DecisionInput) => Decision {
  const vocabulary = vocabularyOf(catalogue)
  const { schema, servers } = vocabulary
  const files = [{ name: 'test.cedar', text }]
  const answer = checkPolicies(cedar, { files, schema, servers }, () => {})
  if (!answer.ok) throw new Error(answer.problems.join('\n'))
  const decider = new Decider(catalogue, vocabulary, answer.policies)
  return (input) => decider.decide(input, cedar, places)
}

/** A question about `action`; without one, about a session. */
export function question(
  catalogue: Catalogue,
  action: Action | undefined,
  more: Partial<DecisionInput> = {},
): DecisionInput {
  const who = more.workload ?? workload()
  const server = catalogue.servers.get(action?.server ?? RESOURCE)
  const id = action?.identifier ?? ''
  const definition =
    action === undefined
      ? undefined
      : action.method === 'tools/call'
        ? server?.tools.get(id)
        : action.method === 'prompts/get'
          ? server?.prompts.get(id)
          : action.method === 'resources/read'
            ? (server?.resources.get(id) ??
              server?.resourceTemplates.find((each) => each.matches(id))?.definition)
            : undefined
  return {
    workload: who,
    principal: who.id,
    actors: [],
    action,
    server: action?.server ?? RESOURCE,
    definition,
    time: NOW,
    address: undefined,
    binding: 'dpop',
    ...more,
  }
}
