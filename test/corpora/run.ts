// npm run test:corpora -- <folder>: our answers to cases that others wrote. Ends with 1 on any wrong accept.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CORPORA } from './corpora.ts'

const [argument] = process.argv.slice(2)
if (argument === undefined || !existsSync(argument)) {
  const what = argument === undefined ? 'no folder named' : `no folder ${argument}`
  process.stderr.write(`writ: error: ${what}\nwrit: hint: npm run test:corpora -- <folder>\n`)
  process.exit(2)
}
const folder = resolve(argument)
let failed = 0
let ran = 0
for (const [file, run] of CORPORA) {
  if (!existsSync(join(folder, file))) {
    process.stdout.write(`${file}: not in the folder, skipped\n`)
    continue
  }
  ran += 1
  const { name, total, right, wrongAccepts, wrongRejects } = await run(folder)
  process.stdout.write(
    `${name}: ${total} cases, ${right} right, ${wrongAccepts.length} wrong accepts, ${wrongRejects.length} wrong rejects\n`,
  )
  for (const id of wrongAccepts) process.stdout.write(`  wrong accept: ${id}\n`)
  for (const { id, reason } of wrongRejects)
    process.stdout.write(`  wrong reject: ${id}: ${reason}\n`)
  failed += wrongAccepts.length
}
if (ran === 0) {
  process.stderr.write(
    `writ: error: none of ${CORPORA.map(([file]) => file).join(', ')} is in ${argument}\n`,
  )
  process.exit(2)
}
process.exit(failed === 0 ? 0 : 1)
