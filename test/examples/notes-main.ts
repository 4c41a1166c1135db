// Runs the example MCP server by itself: node test/examples/notes-main.ts '{"issuer":"…","directory":"…"}'
import { startNotesServer } from './notes-server.ts'

const { issuer, port, directory, reports } = JSON.parse(process.argv[2] ?? '{}') as {
  issuer: string
  port?: number
  directory: string
  /** Who reports to the broker what became of its tokens, and the file of their private key. */
  reports?: { clientId: string; key: string }
}
const server = await startNotesServer({
  issuer,
  directory,
  ...(port === undefined ? {} : { port }),
  ...(reports === undefined ? {} : { reports }),
})
process.stdout.write(`listening on ${server.url}\n`)
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)))
