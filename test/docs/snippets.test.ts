/** The TypeScript that pages show compiles against the public entry points. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { tsc } from '../package/packed.ts'
import { blocksOf, type Page, ROOT, readPages } from './pages.ts'

/** What a snippet takes as given: its reader has it already. */
const GIVEN: Record<string, string> = {
  readJwtSvid: 'declare function readJwtSvid(): Promise<string>',
  url: 'declare const url: URL',
  authProvider: `declare const authProvider: import('@modelcontextprotocol/client').OAuthClientProvider`,
}
/** The same name is a server of either SDK, by what else the snippet imports. */
const MAKE_SERVER = {
  v1: `declare function makeServer(): import('@modelcontextprotocol/sdk/server/mcp.js').McpServer`,
  v2: `declare function makeServer(): import('@modelcontextprotocol/server').McpServer`,
}
/** A snippet that goes on from the one before may leave out what that one imported. */
const IMPORTS: Record<string, string> = {
  StreamableHTTPClientTransport: `import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client'`,
}

function wrap(code: string): string {
  const uses = (name: string) => new RegExp(`\\b${name}\\b`).test(code)
  const makes = (name: string) =>
    new RegExp(`(?:const|function|let) ${name}\\b|import[^'"]*\\b${name}\\b`).test(code)
  const lines = [...Object.entries(IMPORTS), ...Object.entries(GIVEN)]
    .filter(([name]) => uses(name) && !makes(name))
    .map(([, line]) => line)
  if (uses('makeServer') && !makes('makeServer')) {
    lines.push(MAKE_SERVER[code.includes('@modelcontextprotocol/sdk/') ? 'v1' : 'v2'])
  }
  // In front and on one line, so that the line numbers tell where it is on the page.
  return `${lines.join(';')};${code}\nexport {}\n`
}

const shown = ({ path }: Page) => /^README\.md$|^docs\/|^src\/[^/]+\/README\.md$/.test(path)
const snippets = (await readPages()).filter(shown).flatMap((page) =>
  blocksOf(page)
    .filter(({ language }) => language === 'ts')
    .map((block) => ({ ...block, path: page.path })),
)

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'writ-docs-'))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
})
after(() => rm(folder, { recursive: true, force: true }))

/** @returns what `tsc` says, all snippets together: it starts once */
async function compile(sources: readonly string[]): Promise<string[]> {
  const names = sources.map((_, index) => `snippet${index}.ts`)
  await mkdir(folder, { recursive: true })
  for (const [index, source] of sources.entries()) {
    await writeFile(join(folder, names[index]!), source)
  }
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const { exports } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  const paths = Object.keys(exports)
    .filter((entry) => typeof exports[entry] !== 'string')
    .map((entry) => {
      const built = String(exports[entry].default)
      const source = built.replace('./dist/', `${ROOT}src/`).replace(/\.js$/, '.ts')
      return [`mcp-writ${entry.slice(1)}`, [source]]
    })
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(ROOT, 'tsconfig.json'),
      compilerOptions: {
        paths: Object.fromEntries(paths),
        // The snippets are not among the sources of the project.
        rootDir: '/',
        typeRoots: [join(ROOT, 'node_modules/@types')],
      },
      files: names,
    }),
  )
  try {
    await tsc(['-p', folder, '--pretty', 'false'], folder)
    return []
  } catch (error) {
    const { stdout } = error as { stdout?: string }
    if (stdout === undefined) throw error
    return stdout.split('\n').filter((line) => line.startsWith('snippet'))
  }
}

test('every TypeScript block of the documentation compiles', async () => {
  assert.ok(snippets.length >= 7)
  const problems = await compile(snippets.map(({ code }) => wrap(code)))
  const named = problems.map((problem) =>
    problem.replace(/^snippet(\d+)\.ts\((\d+),/, (_, index, line) => {
      const { path, line: first } = snippets[Number(index)]!
      return `${path}:${first + Number(line) - 1} (`
    }),
  )
  assert.deepEqual(named, [])
})

test('a block that is wrong is seen', async () => {
  const wrong = `import { createVerifier } from 'mcp-writ/verifier'\ncreateVerifier({ issuer: 7 })`
  const problems = await compile([wrap(wrong)])
  assert.match(String(problems), /snippet0\.ts\(2,/)
})
