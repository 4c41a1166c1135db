import type { Command } from 'commander'
import { type Config, ConfigError, loadConfig } from '../config/config.ts'
import { CliError } from './answer.ts'
import { messageOf } from './text.ts'

export interface ConfigOption {
  config?: string
}

export function withConfig(command: Command): Command {
  return command.option('--config <file>', 'the configuration (WRIT_CONFIG, config/writ.yaml)')
}

/** @throws {CliError} configuration, listing every problem */
export async function readConfig(
  options: ConfigOption,
  flags: Readonly<Record<string, unknown>> = {},
): Promise<Config> {
  try {
    return await loadConfig({ file: options.config, env: process.env, flags })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new CliError('configuration', error.message, {
      hint: 'name another configuration with --config, or in WRIT_CONFIG',
      cause: error,
    })
  }
}

/**
 * Runs a step that reads what the configuration names (keys, bundles, policies…); its errors are
 * the operator's to mend, so they are told as they are.
 */
export async function configured<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (error instanceof CliError || !(error instanceof Error)) throw error
    throw new CliError('configuration', error.message, { cause: error })
  }
}

/** Stores and ports: what fails here may work later, with the same configuration. */
export async function available<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (error instanceof CliError) throw error
    throw new CliError('unavailable', messageOf(error), { cause: error })
  }
}
