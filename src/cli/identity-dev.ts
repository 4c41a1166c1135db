import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import {
  createDevelopmentDomain,
  type DevelopmentDomain,
  openDevelopmentDomain,
} from '../identity/development.ts'
import { type Answer, CliError } from './answer.ts'
import { addGroup, finish, parseDuration } from './command.ts'

interface Options {
  directory: string
  trustDomain: string
  bundle?: string
  path: string
  audience: string
  lifetime: string
  output?: string
  json?: boolean
}

export function addIdentity(root: Command): void {
  const identity = addGroup(root, 'identity', 'identities of workloads')
  const dev = identity
    .command('dev')
    .description('issue a JWT-SVID FOR DEVELOPMENT, from a trust domain made here when missing')
    .requiredOption('--audience <issuer>', "the broker's issuer")
    .option('--path <path>', 'which workload, as a SPIFFE path', '/agents/dev')
    .option(
      '--trust-domain <name>',
      'must end in .test, .example, .localhost or .invalid',
      'dev.test',
    )
    .option('--directory <directory>', 'where its keys live', 'keys/development')
    .option('--bundle <file>', 'where its bundle document goes (bundle.json in the directory)')
    .option('--lifetime <duration>', 'as in 5m or 1h', '5m')
    .option('--output <file>', 'write the JWT-SVID to this new file, mode 0600')
  const example = 'writ identity dev --audience http://127.0.0.1:4470 --output svid.jwt'
  finish(dev, example, issueDevelopmentSvid)
}

/** A credential goes to a file or into a pipe, never onto a screen and never among other output. */
async function issueDevelopmentSvid(options: Options): Promise<Answer> {
  const lifetimeSeconds = parseDuration(options.lifetime)
  if (lifetimeSeconds === undefined) {
    throw new CliError('usage', `"${options.lifetime}" is no duration, expected one as in 5m`)
  }
  if (options.output === undefined && (options.json || process.stdout.isTTY)) {
    throw new CliError('usage', 'a credential is not printed here', {
      hint: 'give --output <file>, or pipe the output into what needs it',
    })
  }
  const domain = await openOrCreate(options)
  const request = { path: options.path, audience: options.audience, lifetimeSeconds }
  const svid = await domain
    .issueJwtSvid({ ...request, now: Date.now() / 1000 })
    .catch((error: Error) => {
      throw error instanceof TypeError ? new CliError('usage', error.message) : error
    })
  const id = `spiffe://${domain.trustDomain}${options.path}`
  process.stderr.write(options.json ? '' : `writ: ${id}, for development only\n`)
  const { output } = options
  if (output === undefined) return { json: {}, text: svid }
  await writeFile(output, `${svid}\n`, { flag: 'wx', mode: 0o600 }).catch((error) => {
    throw new CliError('usage', `cannot write ${output} (${error.code})`, {
      hint: 'an existing file is never overwritten',
    })
  })
  return {
    json: { id, output, bundle: domain.bundleFile, lifetimeSeconds },
    text: `wrote ${output}; the broker trusts it through ${domain.bundleFile}`,
  }
}

async function openOrCreate(options: Options): Promise<DevelopmentDomain> {
  const { trustDomain } = options
  const directory = join(options.directory, trustDomain)
  const place = {
    directory,
    ...(options.bundle === undefined ? {} : { bundleFile: options.bundle }),
  }
  try {
    return await createDevelopmentDomain({ ...place, trustDomain })
  } catch (error) {
    if (error instanceof TypeError) throw new CliError('usage', error.message)
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return await openDevelopmentDomain(place).catch((cause: Error) => {
      throw new CliError('configuration', cause.message, { cause })
    })
  }
}
