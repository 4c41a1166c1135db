import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { NOTES_TOOLS } from '../examples/notes-definitions.ts'
import { startNotesServer } from '../examples/notes-server.ts'
import { IDENTITY, startBroker } from './servers.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('the first two snippets of the README run as they stand', async () => {
  // Inside the project, so that the snippets find the packages they import.
  await mkdir(join(root, 'var'), { recursive: true })
  const directory = await mkdtemp(join(root, 'var', 'readme-'))
  const broker = await startBroker({ tools: NOTES_TOOLS })
  const notes = await startNotesServer({
    issuer: broker.origin,
    port: 0,
    directory,
    feed: broker.feed,
  })
  try {
    const identity = join(directory, 'jwt-svid')
    await writeFile(identity, `${IDENTITY}\n`)
    const readme = await readFile(join(root, 'src/agent/README.md'), 'utf8')
    const snippets = [...readme.matchAll(/```ts\n(.*?)```/gs)].map((match) => match[1] ?? '')
    assert.ok(snippets.length >= 2)
    for (const [at, snippet] of snippets.slice(0, 2).entries()) {
      const file = join(directory, `snippet-${at}.ts`)
      const text = snippet
        .replace("'mcp-writ/agent'", `'${pathToFileURL(join(root, 'src/agent/index.ts')).href}'`)
        .replace('https://broker.example', broker.origin)
        .replace('https://mcp.example/mcp', notes.url)
        .replace('/run/spiffe/jwt-svid', identity)
      await writeFile(file, text)
      await import(pathToFileURL(file).href)
      assert.equal((await notes.notes.list()).length, at + 1)
    }
  } finally {
    await notes.close()
    await broker.close()
    await rm(directory, { recursive: true })
  }
})
