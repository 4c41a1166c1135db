import type { Command } from 'commander'
import { type Answer, CliError } from './answer.ts'
import { finish } from './command.ts'
import { type ConfigOption, readConfig, withConfig } from './settings.ts'

interface Options extends ConfigOption {
  brokerUser: string
  resource?: string
  user?: string
}

export function addRedisAcl(root: Command): void {
  const acl = withConfig(root.command('redis-acl'))
    .description(
      'print Redis ACL rules: the broker, and per MCP server a verifier that can only spend',
    )
    .option('--resource <uri>', 'one MCP server only')
    .option('--user <name>', 'the user name of that verifier')
    .option('--broker-user <name>', 'the user name of the broker', 'writ-broker')
  finish(acl, 'writ redis-acl --resource https://mcp.example/mcp --user mcp-example', printRules)
}

/** Passwords are not made up here: the rules leave them to whoever applies them. */
async function printRules(options: Options): Promise<Answer> {
  const config = await readConfig(options)
  const prefix = config.store.kind === 'redis' ? config.store.prefix : undefined
  const resources = config.servers.map(({ resource }) => resource)
  if (options.resource !== undefined && !resources.includes(options.resource)) {
    throw new CliError('usage', `${options.resource} is not among the configured servers`)
  }
  if (options.user !== undefined && options.resource === undefined) {
    throw new CliError('usage', '--user names the verifier of one --resource')
  }
  const { redisAcl } = await import('../ledger/redis-acl.ts')
  const shown = options.resource === undefined ? resources : [options.resource]
  const users = [
    ...(options.resource === undefined
      ? [{ role: 'broker' as const, user: options.brokerUser }]
      : []),
    ...shown.map((resource, index) => ({
      role: 'verifier' as const,
      resource,
      user: options.user ?? `writ-verifier-${index + 1}`,
    })),
  ].map((one) => ({ ...one, command: usageOf(() => redisAcl({ ...one, prefix })) }))
  return {
    json: { users },
    text: users.map(({ command }) => command.map(quoted).join(' ')).join('\n'),
  }
}

function usageOf<T>(step: () => T): T {
  try {
    return step()
  } catch (error) {
    if (error instanceof TypeError) throw new CliError('usage', error.message)
    throw error
  }
}

/** As `redis-cli` reads it: a selector is one word with blanks in it. */
function quoted(word: string): string {
  return word.includes(' ') ? `"${word}"` : word
}
