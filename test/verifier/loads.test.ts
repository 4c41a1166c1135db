/**
 * The public entries load only what they promise. With `OLDEST_NODE` naming a Node 22, they are
 * loaded by that one.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = new URL('../../', import.meta.url)

/** Loads one entry in a process of its own and answers with every module that came with it. */
function loadedBy(entry: string): string[] {
  const program = `
    const { registerHooks } = await import('node:module')
    const seen = []
    registerHooks({
      load(url, context, next) {
        seen.push(url)
        return next(url, context)
      },
    })
    await import(${JSON.stringify(new URL(entry, root).href)})
    console.log(JSON.stringify(seen))`
  const text = execFileSync(
    process.env.OLDEST_NODE ?? process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program],
    { cwd: fileURLToPath(root), encoding: 'utf8' },
  )
  return JSON.parse(text)
}

/** Folders of `src` that each entry may reach into. */
const entries: Record<string, RegExp> = {
  'src/verifier/index.ts':
    /^(lib|action|token|revocation|verifier)\/|^refusal\.ts$|^ledger\/(memory(-[a-z]+)?|bounds|document-bounds|session-[a-z]+)\.ts$|^audit\/|^sessions\/(report|reported|gathering)\.ts$/,
  'src/agent/index.ts': /^(lib|action|token|agent)\/|^refusal\.ts$/,
}
const packages = ['jose', 'canonicalize']
const tooNew = ['node:sqlite']

for (const [entry, own] of Object.entries(entries)) {
  test(`${entry} loads nothing but jose, canonicalize, node and its own files`, () => {
    const src = new URL('src/', root).href
    const modules = new URL('node_modules/', root).href
    const seen = loadedBy(entry)
    assert.ok(seen.length > 10)
    for (const url of seen) {
      if (url.startsWith('node:')) {
        assert.ok(!tooNew.includes(url), url)
      } else if (url.startsWith(modules)) {
        assert.ok(packages.includes(url.slice(modules.length).split('/')[0] ?? ''), url)
      } else {
        assert.ok(url.startsWith(src) && own.test(url.slice(src.length)), url)
      }
    }
  })
}
