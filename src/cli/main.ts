#!/usr/bin/env node
// Nothing is imported before the version is known to do: on an older Node the imports themselves
// would fail, with an error that says nothing to the person who reads it.
const NEEDED = [24, 15] as const

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  const message = `needs Node ${NEEDED.join('.')} or newer, this is ${process.versions.node}`
  if (process.argv.includes('--json')) {
    const error = { code: 'usage', message, hint: 'install a newer Node.js' }
    process.stdout.write(`${JSON.stringify({ ok: false, error })}\n`)
  } else {
    process.stderr.write(`writ: error: ${message}\nwrit: hint: install a newer Node.js\n`)
  }
  process.exitCode = 2
} else {
  // Node's own SQLite announces itself as experimental in each process; operators cannot act on it.
  const emitWarning = process.emitWarning.bind(process) as (...args: unknown[]) => void
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (!String(warning).startsWith('SQLite is an experimental')) emitWarning(warning, ...rest)
  }
  // A broker reads again at this signal, and one that is only starting has nothing to read again yet.
  if (process.argv[2] === 'serve') process.on('SIGHUP', () => undefined)
  const { endUnwritten } = await import('./answer.ts')
  process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    // A reader that has seen enough (`writ … | head`) is no error.
    if (code === 'EPIPE') process.exit()
    endUnwritten(code ?? message)
  })
  // Nobody may read what is said on the side; the answer, and the code that says how it ended, stand.
  process.stderr.on('error', () => undefined)
  const { run } = await import('./program.ts')
  await run(process.argv)
}

export {}
