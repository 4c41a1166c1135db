import { readFile, writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { Difference, PinFile } from '../catalogue/pin.ts'
import { type Answer, CliError } from './answer.ts'
import { finish } from './command.ts'
import { configured } from './settings.ts'
import { printable } from './text.ts'

interface PinOptions {
  output?: string
}

export function addCatalogue(root: Command): void {
  const catalogue = root.command('catalogue').description('what MCP servers offer, pinned')
  const pin = catalogue
    .command('pin')
    .argument('<url>', "the MCP server's URL")
    .description('ask a live MCP server for its tools, prompts and resources and write them down')
    .option('--output <file>', 'write to this file instead of standard output')
  finish(pin, 'writ catalogue pin https://mcp.example/mcp --output mcp.example.json', pinToFile)

  const diff = catalogue
    .command('diff')
    .argument('<file>', 'a pinned catalogue')
    .argument('<url or file>', 'the live server, or another pinned catalogue')
    .description('what differs; exit code 1 when anything does')
  finish(diff, 'writ catalogue diff mcp.example.json https://mcp.example/mcp', compare)
}

async function pinToFile(options: PinOptions, url = ''): Promise<Answer> {
  const pins = await pinFrom(url)
  const text = JSON.stringify(pins, null, 2)
  if (options.output === undefined) return { json: { pins }, text }
  await writeFile(options.output, `${text}\n`).catch((error: NodeJS.ErrnoException) => {
    throw new CliError('usage', `cannot write ${options.output} (${error.code})`)
  })
  return { json: { output: options.output }, text: `wrote ${options.output}; review it` }
}

async function compare(_options: object, file = '', other = ''): Promise<Answer> {
  const { diffPins } = await import('../catalogue/pin.ts')
  const before = await readPins(file)
  const after = /^https?:/.test(other) ? await pinFrom(other) : await readPins(other)
  const differences = diffPins(before, after)
  const same = differences.length === 0
  return {
    json: { same, differences },
    text: same ? 'nothing has changed' : differences.map(describe).join('\n'),
    exitCode: same ? 0 : 1,
  }
}

async function pinFrom(url: string): Promise<PinFile> {
  if (!URL.canParse(url)) throw new CliError('usage', `"${url}" is no URL`)
  const { pinServer } = await import('../catalogue/pin.ts')
  try {
    return await pinServer({ url })
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    throw new CliError('unavailable', printable(`cannot pin ${url}: ${detail}`), { cause: error })
  }
}

async function readPins(file: string): Promise<PinFile> {
  const { parsePinFile } = await import('../catalogue/pin.ts')
  return await configured(async () => parsePinFile(await readFile(file, 'utf8')))
}

function describe(difference: Difference): string {
  return printable(JSON.stringify(difference))
}
