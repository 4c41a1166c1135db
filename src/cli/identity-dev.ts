import { rm, writeFile } from 'node:fs/promises'
import { dirname, extname, join } from 'node:path'
import type { Command } from 'commander'
import {
  createDevelopmentDomain,
  type DevelopmentDomain,
  openDevelopmentDomain,
} from '../identity/development.ts'
import { makeDirectory } from '../lib/make-directory.ts'
import { type Answer, CliError } from './answer.ts'
import { finish, parseDuration } from './command.ts'

interface Options {
  directory: string
  trustDomain: string
  bundle?: string
  path: string
  audience?: string
  x509?: boolean
  lifetime: string
  output?: string
  key?: string
  json?: boolean
}

export function addDev(identity: Command): void {
  const dev = identity
    .command('dev')
    .description('issue an SVID FOR DEVELOPMENT, from a trust domain made here when missing')
    .option('--audience <issuer>', "the broker's issuer; needed for a JWT-SVID")
    .option('--x509', 'an X509-SVID (a certificate and its key) instead of a JWT-SVID')
    .option('--path <path>', 'which workload, as a SPIFFE path', '/agents/dev')
    .option(
      '--trust-domain <name>',
      'must end in .test, .example, .localhost or .invalid',
      'dev.test',
    )
    .option('--directory <directory>', 'where its keys live', 'keys/development')
    .option('--bundle <file>', 'where its bundle document goes (bundle.json in the directory)')
    .option('--lifetime <duration>', 'as in 5m or 1h', '5m')
    .option('--output <file>', 'write the SVID to this new file, mode 0600')
    .option('--key <file>', 'with --x509: its private key, mode 0600 (output, ending in .key)')
  finish(dev, EXAMPLE, issueDevelopmentSvid)
}

const EXAMPLE = `writ identity dev --audience http://127.0.0.1:4470 --output var/svid.jwt
  writ identity dev --x509 --path /agents/report-bot --output var/svid.pem

The trust domain is made once and used from then on; a broker trusts it by its bundle document. A JWT-SVID
goes to --output or into a pipe; a certificate and its key go to two files. No file is ever overwritten.`

/** A credential goes to a file or into a pipe, never onto a screen and never among other output. */
async function issueDevelopmentSvid(options: Options): Promise<Answer> {
  const lifetimeSeconds = parseDuration(options.lifetime, '5m or 1h')
  return options.x509
    ? await issueX509(options, lifetimeSeconds)
    : await issueJwt(options, lifetimeSeconds)
}

async function issueJwt(options: Options, lifetimeSeconds: number): Promise<Answer> {
  const { output, audience, path } = options
  if (audience === undefined) {
    throw new CliError('usage', 'a JWT-SVID needs --audience', {
      hint: "give the broker's issuer, or --x509 for a certificate",
    })
  }
  if (options.key !== undefined) {
    throw new CliError('usage', '--key is for --x509: a JWT-SVID has no key of its own')
  }
  if (output === undefined && (options.json || process.stdout.isTTY)) {
    throw new CliError('usage', 'a credential is not printed here', {
      hint: 'give --output <file>, or pipe the output into what needs it',
    })
  }
  const domain = await openOrCreate(options)
  const now = Date.now() / 1000
  const svid = await issuing(domain.issueJwtSvid({ path, audience, lifetimeSeconds, now }))
  const id = announce(domain, options)
  if (output === undefined) return { json: {}, text: svid }
  await writeNew(output, `${svid}\n`)
  const { bundleFile: bundle } = domain
  return {
    json: { id, output, key: null, bundle, lifetimeSeconds },
    text: `wrote ${output}; the broker trusts it through ${bundle}`,
  }
}

async function issueX509(options: Options, lifetimeSeconds: number): Promise<Answer> {
  const { output, path } = options
  if (output === undefined || options.audience !== undefined) {
    throw new CliError('usage', '--x509 needs --output, and no --audience', {
      hint: 'the certificate goes to that file, its key beside it; a certificate has no audience',
    })
  }
  const key = options.key ?? `${output.slice(0, output.length - extname(output).length)}.key`
  if (key === output) {
    throw new CliError('usage', 'certificate and key would be one file', {
      hint: 'give the key another name with --key',
    })
  }
  const domain = await openOrCreate(options)
  const svid = await issuing(domain.issueX509Svid({ path, lifetimeSeconds }))
  const id = announce(domain, options)
  await writeNew(key, svid.privateKeyPem ?? '')
  await writeNew(output, svid.chainPem).catch(async (error) => {
    // A key without its certificate is of no use, and would be in the way next time.
    await rm(key)
    throw error
  })
  const { bundleFile: bundle } = domain
  return {
    json: { id, output, key, bundle, lifetimeSeconds },
    text: `wrote ${output} and its key ${key}; the broker trusts it through ${bundle}`,
  }
}

function announce({ trustDomain }: DevelopmentDomain, { path, json }: Options): string {
  const id = `spiffe://${trustDomain}${path}`
  process.stderr.write(json ? '' : `writ: ${id}, for development only\n`)
  return id
}

async function issuing<T>(issued: Promise<T>): Promise<T> {
  return await issued.catch((error: Error) => {
    throw error instanceof TypeError ? new CliError('usage', error.message) : error
  })
}

async function writeNew(file: string, text: string): Promise<void> {
  try {
    await makeDirectory(dirname(file), 0o700)
    await writeFile(file, text, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new CliError('usage', `cannot write ${file} (${code})`, {
      hint: 'an existing file is never overwritten',
    })
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
