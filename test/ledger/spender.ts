/** Spends ids as fast as it can and prints each one after it was acknowledged, until it is killed. */
import { sqliteLedger } from '../../src/ledger/sqlite.ts'

const [file, round] = process.argv.slice(2) as [string, string]
const ledger = sqliteLedger({ file, lockWaitMs: 200 })
await ledger.open()
let next = 0
async function spendForEver(): Promise<never> {
  for (;;) {
    const id = `${round}-${next++}`
    if (await ledger.spend(id, Date.now() / 1000 + 300)) process.stdout.write(`${id}\n`)
  }
}
await Promise.all(Array.from({ length: 32 }, spendForEver))
