/**
 * The built console on the admin listener: its page for its own addresses, its hashed files for ever,
 * and nothing else. Everything is read once, at the start, so no request names a file of the disk.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context, Middleware, Next } from 'koa'
import { setPageHeaders } from '../sign-in/page-headers.ts'

export interface ConsoleFilesOptions {
  /** The admin listener as browsers reach it, without a path. */
  readonly url: string
  /** Where the built files are; beside the program, or in `dist` of the source tree, when not given. */
  readonly directory?: string
}

/** The addresses of the console's pages; `console/pages.tsx` has what each of them shows. */
const PAGES =
  /^\/(?:$|(?:sessions|revocations)(?:\/[^/]{1,512})?$|catalogue(?:\/server)?$|(?:audit|policies|simulator|identities|keys|health|people)$)/

const OWN_NAMES = ['localhost', '127.0.0.1', '[::1]']

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

const NOT_BUILT = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Writ</title></head>
<body>
<main>
<h1>The console is not built</h1>
<p>Build it with <code>npm run build:console</code>, then start the broker again.</p>
<p>The <code>writ</code> command and the admin API under <code>/v1</code> do all that it does.</p>
</main>
</body>
</html>
`

interface BuiltFile {
  readonly type: string
  readonly body: Buffer
}

/**
 * Answers `GET` and `HEAD` for the console's pages and files, for requests to the host of `url` alone, and
 * calls `next` for all else.
 *
 * @throws {Error} when files that are there cannot be read
 */
export function consoleFiles({ url, directory }: ConsoleFilesOptions): Middleware {
  const { host, port } = new URL(url)
  const built = read(directory ?? found())
  const page = built?.get('/index.html')

  return async function consoleFile(ctx: Context, next: Next) {
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') return next()
    const file = ctx.path === '/index.html' ? undefined : built?.get(ctx.path)
    if (file === undefined && !PAGES.test(ctx.path)) return next()
    setPageHeaders(ctx, ['publickey-credentials-get', 'clipboard-write'])
    // A name of another site that was made to lead here must not get so much as a page to act in.
    const asked = ctx.get('host').toLowerCase()
    if (asked !== host && OWN_NAMES.some((name) => asked === `${name}:${port}`)) {
      // Passkeys and cookies are for one name only.
      return ctx.redirect(`${url}${ctx.url}`)
    }
    if (asked !== host) {
      ctx.status = 421
      ctx.type = 'text/plain; charset=utf-8'
      ctx.body = `the console is at ${url}\n`
      return
    }
    if (file !== undefined) {
      // Vite puts a hash of what they hold into these names.
      const hashed = ctx.path.startsWith('/assets/')
      ctx.set('Cache-Control', hashed ? 'public, max-age=31536000, immutable' : 'no-cache')
      ctx.type = file.type
      ctx.body = file.body
      return
    }
    ctx.set('Cache-Control', 'no-store')
    ctx.type = 'text/html; charset=utf-8'
    ctx.status = page === undefined ? 503 : 200
    ctx.body = page?.body ?? NOT_BUILT
  }
}

/** Run from `dist` it is a neighbour; run from source it is in `dist` of the same tree. */
function found(): string {
  const places = ['../console/', '../../dist/console/'].map((place) =>
    fileURLToPath(new URL(place, import.meta.url)),
  )
  return places.find((place) => existsSync(join(place, 'index.html'))) ?? places[0]!
}

/** Undefined when nothing is built there. */
function read(directory: string): ReadonlyMap<string, BuiltFile> | undefined {
  if (!existsSync(join(directory, 'index.html'))) return undefined
  const files = new Map<string, BuiltFile>()
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const type = TYPES[extname(entry.name)] ?? 'text/html; charset=utf-8'
    const name = path.slice(join(directory, '/').length).replaceAll('\\', '/')
    files.set(`/${name}`, { type, body: readFileSync(path) })
  }
  return files
}
