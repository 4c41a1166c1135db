/** Every command that a page shows exists, with the options and arguments it is shown with. */
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Command } from 'commander'
import { addCatalogue } from '../../src/cli/catalogue.ts'
import { addIdentity } from '../../src/cli/identity.ts'
import { addKeys } from '../../src/cli/keys.ts'
import { addLogin } from '../../src/cli/login.ts'
import { addPolicy } from '../../src/cli/policy.ts'
import { addRedisAcl } from '../../src/cli/redis-acl.ts'
import { addRevocations } from '../../src/cli/revocations.ts'
import { addRevoke } from '../../src/cli/revoke.ts'
import { addServe } from '../../src/cli/serve.ts'
import { addSessions } from '../../src/cli/sessions.ts'
import { addStatus } from '../../src/cli/status.ts'
import { addToken } from '../../src/cli/token-inspect.ts'
import { blocksOf, ROOT, readPages } from './pages.ts'

const root = new Command('writ').helpCommand(false)
for (const add of [
  addServe,
  addKeys,
  addCatalogue,
  addPolicy,
  addToken,
  addLogin,
  addStatus,
  addSessions,
  addRevoke,
  addRevocations,
  addRedisAcl,
  addIdentity,
]) {
  add(root)
}

/** The words of a shell line up to a comment, a pipe or a redirection. */
function wordsOf(line: string): string[] {
  const words = line.match(/'[^']*'|"[^"]*"|\S+/g) ?? []
  const end = words.findIndex((word) => /^(?:#|\||[0-9]?>|<$|&&|;)/.test(word))
  return words
    .slice(0, end === -1 ? undefined : end)
    .map((word) => word.replace(/^['"]|['"]$/g, ''))
}

/** @param whole a line to be typed as it is, rather than a command that is only named */
function check(line: string, whole: boolean): void {
  const [, ...words] = wordsOf(line)
  let command = root
  for (;;) {
    const next = command.commands.find((each) => each.name() === words[0])
    if (next === undefined) break
    command = next
    words.shift()
  }
  assert.notEqual(command, root, `no such command: ${line}`)
  assert.equal(command.commands.length, 0, `a subcommand is missing: ${line}`)
  const { operands, unknown } = command.parseOptions(words)
  assert.deepEqual(unknown, [], `no such option: ${line}`)
  const declared = command.registeredArguments
  assert.ok(operands.length <= declared.length, `too many arguments: ${line}`)
  if (!whole) return
  const required = declared.filter((argument) => argument.required).length
  assert.ok(operands.length >= required, `an argument is missing: ${line}`)
  for (const option of command.options.filter((each) => each.mandatory)) {
    assert.ok(words.includes(option.long ?? ''), `${option.long} is missing: ${line}`)
  }
}

const pages = await readPages()
const configs = await Promise.all(
  globSync('config/**/*.{yaml,cedar}', { cwd: ROOT }).map(async (path) => ({
    path,
    text: await readFile(join(ROOT, path), 'utf8'),
  })),
)

let shown = 0
for (const page of [...pages, ...configs]) {
  const typed = blocksOf(page)
    .filter(({ language }) => language === 'sh' || language === 'bash')
    .flatMap(({ code }) => code.split('\n'))
    .map((line) =>
      line.replace(/^\s*(?:npx |npm run |node \S+)?(?:writ -- )?/, (lead) =>
        /writ -- /.test(lead) ? 'writ ' : '',
      ),
    )
    .filter((line) => line.startsWith('writ '))
  const named = [...page.text.matchAll(/`(?:npx )?(writ [a-z][^`]*)`/g)].map(
    ([, line]) => line ?? '',
  )
  shown += typed.length + named.length
  if (typed.length + named.length === 0) continue
  test(`the commands of ${page.path} exist`, () => {
    for (const line of typed) check(line, true)
    for (const line of named) check(line, false)
  })
}

test('commands are found where there are some', () => {
  assert.ok(shown > 15, `only ${shown}`)
})

test('src/cli/README.md says what every command answers with --json, and of no other', () => {
  const page = pages.find(({ path }) => path === 'src/cli/README.md')!
  const section = page.text.split('## What `--json` prints')[1]?.split('\n## ')[0] ?? ''
  const rows = [...section.matchAll(/^\| `([a-z][^`]*)`/gm)].map(([, name]) => name ?? '')
  for (const name of rows) check(`writ ${name}`, false)
  const paths = (command: Command, path: string): string[] =>
    command.commands.length === 0
      ? [path]
      : command.commands.flatMap((each) => paths(each, `${path} ${each.name()}`.trim()))
  const described = new Set(rows.map((name) => name.replace(/ --.*/, '')))
  assert.deepEqual(
    paths(root, '').filter((path) => !described.has(path)),
    [],
  )
})

test('every npm script that a page names is in package.json', async () => {
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  const builtIn = ['ci', 'install', 'pack']
  for (const { path, text } of pages) {
    for (const [, run, name = ''] of text.matchAll(/\bnpm (run )?([a-z][a-z:]*)\b/g)) {
      if (run === undefined && builtIn.includes(name)) continue
      if (run === undefined && !['start', 'test'].includes(name)) continue
      assert.ok(scripts[name] !== undefined, `${path}: npm ${run ?? ''}${name}`)
    }
  }
})

test('a wrong command line is seen', () => {
  for (const line of ['writ fly', 'writ keys', 'writ keys new --kind x', 'writ serve now']) {
    assert.throws(() => check(line, false), line)
  }
  assert.throws(() => check('writ policy explain', true))
  assert.throws(() => check('writ revoke', true))
})
