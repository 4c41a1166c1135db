import type { Command } from 'commander'
import type { Answer } from './answer.ts'
import { addGroup, finish } from './command.ts'
import { addPolicyExplain } from './policy-explain.ts'
import { type ConfigOption, readConfig, withConfig } from './settings.ts'

export function addPolicy(root: Command): void {
  const policy = addGroup(root, 'policy', 'who may do what')
  const check = withConfig(policy.command('check')).description(
    'load the policies as the broker does, against the pinned catalogue',
  )
  finish(check, 'writ policy check --config config/writ.yaml', checkPolicies)
  addPolicyExplain(policy)
}

async function checkPolicies(options: ConfigOption): Promise<Answer> {
  const config = await readConfig(options)
  const { openRules } = await import('./rules.ts')
  await using rules = await openRules(config)
  const { policies, catalogue } = rules
  const loaded = { policyVersion: policies.version, catalogueVersion: catalogue.version }
  return {
    json: loaded,
    text: `all policies in ${config.policies} load; version ${policies.version}`,
  }
}
