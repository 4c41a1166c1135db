/**
 * Writes documents and sessions in a SQLite file as fast as it can and prints each after it was
 * acknowledged, until it is killed.
 */
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import { actionOf, updateOf } from './session-updates.ts'

const [file, round] = process.argv.slice(2) as [string, string]
const ledger = sqliteLedger({ file, role: 'broker', lockWaitMs: 2000 })
await ledger.open()
const { documents, sessions } = ledger
let next = 0

async function writeForEver(worker: number): Promise<never> {
  for (;;) {
    const n = next++
    const id = `${round}-${n}`
    await documents?.create('kept', id, { id }, { order: n, group: `worker-${worker}` })
    if (n % 3 === 0) {
      await documents?.take('kept', id)
      process.stdout.write(`taken ${id}\n`)
    } else process.stdout.write(`created ${id}\n`)
    const at = Date.now() / 1000
    const update = updateOf(`session-${worker}`, { spent: 1, actions: [actionOf(at)] })
    await sessions?.apply(`${round}-${worker}`, n, [update])
    process.stdout.write(`applied session-${worker}\n`)
  }
}
await Promise.all(Array.from({ length: 16 }, (_, worker) => writeForEver(worker)))
