/** Waits until whoever holds revocations has said that it has these. */
import { setTimeout as sleep } from 'node:timers/promises'
import { revocationDetail } from '../admin/schemas.ts'
import type { Revocation } from '../revocation/target.ts'
import type { AdminClient } from './admin-client.ts'

export interface Held {
  readonly all: boolean
  readonly json: {
    readonly holding: number
    readonly all: number
    readonly missing: string[]
    readonly silent: string[]
  }
  readonly text: string
}

/** Well beyond the bound within which it is in force: who has not said so by then is in trouble. */
const WAIT_MS = 20_000
const FIRST_LOOK_MS = 50
const SLOWEST_LOOK_MS = 1000

/** @throws {CliError} when the broker cannot be asked */
export async function waitForHolders(
  admin: AdminClient,
  revocations: readonly Revocation[],
): Promise<Held> {
  const until = performance.now() + WAIT_MS
  let lookMs = FIRST_LOOK_MS
  for (;;) {
    const held = await look(admin, revocations)
    if (held.all || performance.now() > until) return held
    await sleep(lookMs)
    lookMs = Math.min(lookMs * 2, SLOWEST_LOOK_MS)
  }
}

/** What all of them together are held by: the fewest. */
async function look(admin: AdminClient, revocations: readonly Revocation[]): Promise<Held> {
  const missing = new Map<string, string>()
  const silent = new Map<string, string>()
  let holding = Number.POSITIVE_INFINITY
  let all = 0
  for (const { id } of revocations) {
    const { holders } = await admin.get(
      `/v1/revocations/${encodeURIComponent(id)}`,
      revocationDetail,
    )
    holding = Math.min(holding, holders.holding)
    all = Math.max(all, holders.all)
    for (const one of holders.items) {
      if (!one.holds) (one.silent ? silent : missing).set(one.id, one.server ?? one.kind)
    }
  }
  return {
    all: missing.size === 0,
    json: { holding, all, missing: [...missing.keys()], silent: [...silent.keys()] },
    text: [
      `${holding} of ${all} holders`,
      ...(missing.size === 0 ? [] : [`not by ${named(missing)}`]),
      ...(silent.size === 0 ? [] : [`${silent.size} silent: ${named(silent)}; ${SILENT}`]),
    ].join('; '),
  }
}

/** If it runs at all: nobody knows. */
const SILENT = 'a silent one refuses everything once it hears nothing'
const NAMED = 5

function named(holders: ReadonlyMap<string, string>): string {
  const texts = [...holders].slice(0, NAMED).map(([id, what]) => `${id} (${what})`)
  return [...texts, ...(holders.size > NAMED ? ['…'] : [])].join(', ')
}
