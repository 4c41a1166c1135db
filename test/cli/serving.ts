// A real `writ serve` process on a site.
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeStore } from '../support/aged-store.ts'
import { collect, start } from './writ.ts'

export interface Running {
  readonly child: ChildProcess
  output(): { stdout: string; stderr: string }
  readonly exit: Promise<number | null>
}

/**
 * Resolves when it has said that it answers.
 *
 * @param store of the site's SQLite file: one that is new is waited for
 * @param meanwhile while it starts
 */
export async function serve(
  t: { after(hook: () => unknown): void },
  cwd: string,
  store: 'used before' | 'new' = 'used before',
  meanwhile: (starting: Pick<Running, 'child' | 'output'>) => Promise<void> = async () => {},
): Promise<Running> {
  if (store === 'used before') await makeStore(join(cwd, 'writ.db'))
  const child = start(['serve', '--config', 'writ.yaml', '--json'], { cwd })
  const output = collect(child)
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  t.after(() => child.kill('SIGKILL'))
  await meanwhile({ child, output })
  while (!output().stdout.includes('\n') && child.exitCode === null) await sleep(20)
  assert.equal(child.exitCode, null, output().stdout + output().stderr)
  return { child, output, exit }
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let look = 0; look < 800; look += 1) {
    if (await condition()) return
    await sleep(25)
  }
  assert.fail('it did not happen')
}
