// Changes a directory of policies for as long as it lives, each time from one whole state to the next:
// node test/policy/swap-files.ts <directory>. As a mounted ConfigMap does it: `a.cedar` and `b.cedar` are links by
// way of one link that is replaced at once, and what they led to before is removed. Besides, `c.cedar` comes and goes.
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const directory = process.argv[2] as string
const at = (name: string) => join(directory, name)
const still = new Int32Array(new SharedArrayBuffer(4))

for (let round = 0; ; round++) {
  mkdirSync(at(`..${round}`))
  for (const name of ['a', 'b']) writeFileSync(at(`..${round}/${name}.cedar`), `// ${round}`)
  symlinkSync(`..${round}`, at('..next'))
  renameSync(at('..next'), at('..data'))
  if (round === 0) {
    for (const name of ['a', 'b']) symlinkSync(`..data/${name}.cedar`, at(`${name}.cedar`))
    process.stdout.write('begun\n')
  } else {
    rmSync(at(`..${round - 1}`), { recursive: true })
  }
  if (round % 2 === 0) {
    writeFileSync(at('c.new'), `// ${round}`)
    renameSync(at('c.new'), at('c.cedar'))
  } else {
    rmSync(at('c.cedar'))
  }
  // Long enough, some of the time, for a reader to be done.
  Atomics.wait(still, 0, 0, Math.random() * 4)
}
