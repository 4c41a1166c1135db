import { readFile } from 'node:fs/promises'
import { Command, CommanderError } from 'commander'
import { Refusal } from '../refusal.ts'
import { type Answer, CliError, EXIT, printAnswer, printError } from './answer.ts'
import { addCatalogue } from './catalogue.ts'
import { addIdentity } from './identity.ts'
import { addKeys } from './keys.ts'
import { addLogin } from './login.ts'
import { addPolicy } from './policy.ts'
import { addRedisAcl } from './redis-acl.ts'
import { addRevocations } from './revocations.ts'
import { addRevoke } from './revoke.ts'
import { addServe } from './serve.ts'
import { addSessions } from './sessions.ts'
import { addStatus } from './status.ts'
import { printable, withoutCredentials } from './text.ts'
import { addToken } from './token-inspect.ts'

const USAGE = `Usage: writ <command> [options]

One token, one caller, one MCP action, once.

  writ serve [--check]              run the broker, or check its configuration
  writ keys new | rotate            make the first signing key, or the next one
  writ keys nonce                   make the secret of DPoP nonces
  writ catalogue pin <url>          write down what an MCP server offers
  writ catalogue diff <file> <url>  what has changed since it was pinned
  writ policy check                 do all policies load?
  writ policy explain …             may this agent call this tool, and by which policy?
  writ token inspect [file|-]       what is this token good for?
  writ login [--url <url>]          sign in at a broker elsewhere; writ logout ends it
  writ status                       is all well, and who hears revocations?
  writ sessions list | show | watch who acts, and what they do
  writ revoke <target…>             stop a token, a session, an agent, a server …
  writ revocations list|show|undo   what was stopped, by whom, and who knows it
  writ redis-acl                    print the Redis users of broker and verifiers
  writ identity inspect [file|-]    what does this token or certificate prove, and to whom?
  writ identity dev                 make a development trust domain and issue from it

Options of every command:
  --json     print exactly one JSON object
  -h, --help
  --version  of this command; by itself

Example:
  writ revoke 'agent:spiffe://corp.example/agents/*' --reason 'key leaked' --for 1h

Exit codes: 0 yes or done, 1 no, 2 usage or configuration, 3 something is unreachable, 4 a bug
`

function program(): Command {
  const root = new Command('writ').helpCommand(false)
  root.helpInformation = () => USAGE
  addServe(root)
  addKeys(root)
  addCatalogue(root)
  addPolicy(root)
  addToken(root)
  addLogin(root)
  addStatus(root)
  addSessions(root)
  addRevoke(root)
  addRevocations(root)
  addRedisAcl(root)
  addIdentity(root)
  prepare(root)
  return root
}

// Commander would end the process by itself, in the middle of an answer.
function prepare(command: Command): void {
  command.exitOverride().configureOutput({ writeErr: () => {} })
  for (const each of command.commands) prepare(each)
}

/** Runs one command line. Never rejects; the process' exit code says how it ended. */
export async function run(argv: readonly string[]): Promise<void> {
  const end = argv.indexOf('--')
  const json = argv.slice(0, end === -1 ? undefined : end).includes('--json')
  try {
    if (argv[2] === '--version') return printAnswer(await version(), json)
    const root = program()
    if (argv.length <= 2) {
      throw new CliError('usage', 'no command was given', { hint: 'run writ --help' })
    }
    await root.parseAsync(argv)
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) {
      process.exitCode = EXIT.ok
      return
    }
    printError(toCliError(error), json)
  }
}

/** The package is two levels above, of the sources and of what is built from them. */
async function version(): Promise<Answer> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { version: string }
  const node = process.versions.node
  return { json: { version, node }, text: `writ ${version} (Node ${node})` }
}

/** Every error a command may end with, in one place. */
function toCliError(error: unknown): CliError {
  if (error instanceof CliError) return error
  if (error instanceof CommanderError) {
    if (error.code === 'commander.help') {
      return new CliError('usage', 'a subcommand is missing', { hint: 'run writ --help' })
    }
    const message = error.message.replace(/^error: /, '').replace(/\.$/, '')
    // It repeats what it could not read, and that may be a credential.
    const shown = lowerFirst(withoutCredentials(message))
    const hint =
      error.code === 'commander.unknownOption'
        ? 'run writ --help; an id that begins with - comes last, after --'
        : 'run writ --help'
    return new CliError('usage', shown, { hint })
  }
  if (error instanceof Refusal) return refusalError(error)
  const { name, code, message } = (error ?? {}) as NodeJS.ErrnoException
  if (name === 'ConfigError') return new CliError('configuration', message, { cause: error })
  if (code !== undefined && UNREACHABLE.has(code)) {
    return new CliError('unavailable', `cannot connect (${code})`, { cause: error })
  }
  const hint = 'this is a bug in writ; run again with WRIT_DEBUG=1 to see where it happened'
  if (process.env.WRIT_DEBUG !== undefined) process.stderr.write(`${(error as Error)?.stack}\n`)
  return new CliError('bug', printable(`${message ?? error}`), { hint, cause: error })
}

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
])

function refusalError(refusal: Refusal): CliError {
  const { code, ...evidence } = refusal.reason
  const unavailable = code.endsWith('_unavailable') || code === 'revocations_stale'
  const detail = Object.entries(evidence).map(([name, value]) => `${name} ${value}`)
  const message = [code.replaceAll('_', ' '), ...detail].join(', ')
  return new CliError(unavailable ? 'unavailable' : 'refused', printable(message), {
    cause: refusal,
  })
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}
