import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes a directory and those it is in, each with this mode; one that is there stays as it is.
 *
 * Node's own recursive mkdir never ends where a system says of a directory that nothing can be made in
 * that it does not exist, as beneath `/proc`. This asks for each directory twice at most.
 *
 * @throws {NodeJS.ErrnoException}
 */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return
    const parent = dirname(path)
    if (code !== 'ENOENT' || parent === path) throw error
    await makeDirectory(parent, mode)
    // Somebody else may have made it meanwhile.
    await mkdir(path, { mode }).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again
    })
  }
}
