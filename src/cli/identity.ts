import type { Command } from 'commander'
import { addGroup } from './command.ts'
import { addDev } from './identity-dev.ts'
import { addInspect } from './identity-inspect.ts'

export function addIdentity(root: Command): void {
  const identity = addGroup(root, 'identity', 'identities of workloads')
  addInspect(identity)
  addDev(identity)
}
