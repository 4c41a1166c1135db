import { type Catalogue, loadCatalogue } from '../catalogue/catalogue.ts'
import type { Config } from '../config/config.ts'
import { openPolicies, type Policies } from '../policy/engine.ts'
import { CliError } from './answer.ts'
import { configured } from './settings.ts'

/** The catalogue and the policies that are checked against it. */
export interface Rules extends AsyncDisposable {
  readonly catalogue: Catalogue
  readonly policies: Policies
}

/** @throws {CliError} configuration for the catalogue, refused for policies that do not load */
export async function openRules(config: Config): Promise<Rules> {
  const catalogue = await configured(() => loadCatalogue(config.servers))
  try {
    const policies = await openPolicies({ directory: config.policies, catalogue })
    return { catalogue, policies, [Symbol.asyncDispose]: () => policies.close() }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw new CliError('refused', error.message, { cause: error })
  }
}
