/** A stop that no broker is asked for: refused for what a broker refuses, in its words. */
import { noOf } from '../admin/problem.ts'
import { checkedBody } from '../admin/request.ts'
import { newRevocations } from '../admin/schemas/revocations.ts'
import { checkedStop } from '../admin/stop-asked.ts'
import { type Catalogue, loadCatalogue } from '../catalogue/catalogue.ts'
import type { Config } from '../config/config.ts'
import { AdminRefusal } from '../sign-in/admin-refusal.ts'
import { problemError } from './admin-problem.ts'
import type { Wish } from './revoke-wish.ts'
import { messageOf, printable } from './text.ts'

const WHERE = { where: 'the store', through: 'broker' } as const

/** @throws {CliError} usage: it could never hit, or not be kept or undone */
export async function checkedHere(config: Config, wish: Wish, now: number): Promise<Wish> {
  const catalogue = await catalogueFor(config, wish)
  try {
    checkedBody(newRevocations, wish)
    const targets = checkedStop({
      parts: { catalogue: () => catalogue },
      body: { ...wish, targets: [...wish.targets] },
      now,
    })
    return { ...wish, targets }
  } catch (error) {
    if (!(error instanceof AdminRefusal)) throw error
    const { kind, code, detail, pointer } = noOf(error)
    const { title, status } = kind
    throw problemError(status, { type: code, title, status, code, detail, pointer }, WHERE)
  }
}

/** Only the name of a server is looked up; a catalogue that cannot be read keeps nothing from being stopped. */
async function catalogueFor(config: Config, { targets }: Wish): Promise<Catalogue> {
  if (targets.some(({ kind }) => kind === 'server')) {
    try {
      return await loadCatalogue(config.servers)
    } catch (error) {
      const why = printable(messageOf(error))
      process.stderr.write(`writ: warning: whether a server is called so is not known: ${why}\n`)
    }
  }
  return { servers: new Map(), version: '' }
}
