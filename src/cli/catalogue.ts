import { readFile, writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { PinFile } from '../catalogue/catalogue.ts'
import type { Difference } from '../catalogue/pin.ts'
import { isJsonObject, type JsonObject, parseJson } from '../lib/json.ts'
import { type Answer, CliError } from './answer.ts'
import { addGroup, finish } from './command.ts'
import { readInput } from './input.ts'
import { configured } from './settings.ts'
import { jsonText, printable } from './text.ts'

const MAX_PINS_BYTES = 16 * 1024 * 1024

interface LiveOptions {
  broker?: string
  identity?: string
}

interface PinOptions extends LiveOptions {
  output?: string
  name?: string
  spiffeId?: string
}

export function addCatalogue(root: Command): void {
  const catalogue = addGroup(root, 'catalogue', 'what MCP servers offer, pinned')
  const pin = withLive(catalogue.command('pin'))
    .argument('<url>', "the MCP server's URL")
    .description('ask a live MCP server for its tools, prompts and resources and write them down')
    .option('--output <file>', 'write to this file instead of standard output')
    .option('--name <name>', 'what policies call the server')
    .option('--spiffe-id <id>', "the server's own identity, if it has one")
  finish(pin, 'writ catalogue pin https://mcp.example/mcp --output mcp.example.json', pinToFile)

  const diff = withLive(catalogue.command('diff'))
    .argument('<file>', 'a pinned catalogue')
    .argument('<url or file>', 'the live server, or another pinned catalogue')
    .description('what differs; exit code 1 when anything does')
  finish(diff, 'writ catalogue diff mcp.example.json https://mcp.example/mcp', compare)
}

/** For servers that answer only with a token: as which workload to ask, and whom for the token. */
function withLive(command: Command): Command {
  return command
    .option('--broker <issuer>', 'ask with tokens of this broker')
    .option('--identity <file>', 'a file with the JWT-SVID to ask it as')
}

async function pinToFile(options: PinOptions, url = ''): Promise<Answer> {
  const pins = await pinFrom(url, options)
  const text = jsonText(pins, 2)
  if (options.output === undefined) return { json: { pins }, text }
  await writeFile(options.output, `${text}\n`).catch((error: NodeJS.ErrnoException) => {
    throw new CliError('usage', `cannot write ${options.output} (${error.code})`)
  })
  return {
    json: { output: options.output, refused: pins.refused ?? [] },
    text: `wrote ${options.output}; review it before the broker uses it`,
  }
}

async function compare(options: LiveOptions, file = '', other = ''): Promise<Answer> {
  const { diffPins } = await import('../catalogue/pin.ts')
  const before = await readPins(file)
  const after = /^https?:/.test(other) ? await pinFrom(other, options) : await readPins(other)
  const differences = diffPins(before, after)
  const same = differences.length === 0
  return {
    json: { same, differences },
    text: same ? 'nothing has changed' : differences.map(describe).join('\n'),
    exitCode: same ? 0 : 1,
  }
}

async function pinFrom(url: string, options: PinOptions = {}): Promise<PinFile> {
  if (!URL.canParse(url)) throw new CliError('usage', `"${url}" is no URL`)
  const { pinServer } = await import('../catalogue/pin.ts')
  const access = await fetchWith(options)
  try {
    return await pinServer({
      url,
      ...access,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.spiffeId === undefined ? {} : { spiffeId: options.spiffeId }),
    })
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    throw new CliError('unavailable', printable(`cannot pin ${url}: ${detail}`), { cause: error })
  }
}

async function fetchWith({ broker, identity }: LiveOptions): Promise<{ fetch?: typeof fetch }> {
  if (broker === undefined && identity === undefined) return {}
  if (broker === undefined || identity === undefined) {
    throw new CliError('usage', '--broker and --identity belong together')
  }
  const { createAgent } = await import('../agent/index.ts')
  const svid = (await readInput(identity)).trim()
  const agent = createAgent({ broker, identity: () => svid })
  // The SDK calls it with a URL, never with a Request.
  return { fetch: agent.fetch as typeof fetch }
}

async function readPins(file: string): Promise<JsonObject> {
  return await configured(async () => {
    const pins = parseJson(await readFile(file), { maxBytes: MAX_PINS_BYTES })
    if (isJsonObject(pins)) return pins
    throw new Error(`${file} is no pinned catalogue`)
  })
}

function describe({ change, kind, name, members }: Difference): string {
  const what = members.length === 0 ? '' : ` (${members.join(', ')})`
  return printable(`${change} ${kind} ${name}${what}`)
}
