/** The package as its users get it: built, packed by npm, and installed in a project of its own. */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Not copied: too large, or not part of a checkout. */
const LEFT_OUT = new Set(['node_modules', '.git', 'dist', 'var', 'keys'].map((n) => join(ROOT, n)))

export interface Installed {
  /** A folder outside the repository where `import 'mcp-writ/…'` finds the installed package. */
  readonly project: string
  /** The installed package. */
  readonly folder: string
  /** What npm packed, as paths in the package. */
  readonly files: readonly string[]
  remove(): Promise<void>
}

/** Takes a few seconds. @throws {Error} with what `tsc` or `npm` printed */
export async function installPackage(): Promise<Installed> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-package-'))
  try {
    const checkout = join(directory, 'checkout')
    await cp(ROOT, checkout, { recursive: true, filter: (file) => !LEFT_OUT.has(file) })
    // The packages the project has installed serve the build, and later the installed package.
    await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
    for (const private_ of ['keys/signing/k1.json', 'var/audit/broker.jsonl', '.env']) {
      await mkdir(dirname(join(checkout, private_)), { recursive: true })
      await writeFile(join(checkout, private_), 'must not be packed')
    }
    await tsc(['-p', 'tsconfig.build.json', '--outDir', 'dist'], checkout)
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json'], { cwd: checkout })
    const files = packedFiles(JSON.parse(stdout))
    const project = join(directory, 'project')
    const folder = join(project, 'node_modules', 'mcp-writ')
    for (const file of files) {
      await mkdir(dirname(join(folder, file)), { recursive: true })
      await cp(join(checkout, file), join(folder, file))
    }
    const remove = () => rm(directory, { recursive: true, force: true })
    return { project, folder, files, remove }
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`${(error as Error).message}\n${stdout}${stderr}`)
  }
}

/** Older npm answers with a list, newer with an object by package name. */
function packedFiles(answer: object): string[] {
  const [pack] = Object.values(answer) as { files: { path: string }[] }[]
  if (pack === undefined) throw new Error('npm pack says nothing')
  return pack.files.map(({ path }) => path)
}

/** @throws {Error} whose `stdout` has what is wrong */
export async function tsc(args: readonly string[], cwd: string): Promise<void> {
  const file = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  await run(process.execPath, [file, ...args], { cwd, maxBuffer: 16 * 1024 * 1024 })
}
