/**
 * A broker that ends itself with SIGKILL: `node broker-main.ts <configuration>`, then `{ start }` over
 * IPC, where `start` says when. It has loaded everything before it is told to start, so that a test
 * can have the next one waiting.
 */
import { startBroker } from '../../src/cli/broker.ts'
import { loadConfig } from '../../src/config/config.ts'
import type { Step } from '../../src/exchange/broker.ts'

export interface Start {
  /** The step at whose beginning it dies; without it, it lives. */
  readonly step?: Step
  /** Where after that beginning: at once, after what can be done without waiting, or so much later. */
  readonly after?: 'at once' | 'microtask' | 'tick' | number
  /** How many exchanges get past that step before. */
  readonly spared?: number
}

const die = () => process.kill(process.pid, 'SIGKILL')

function armed({ step, after = 'at once', spared = 0 }: Start): (step: Step) => void {
  let left = spared
  return (begun) => {
    if (begun !== step || left-- > 0) return
    if (after === 'at once') die()
    else if (after === 'microtask') queueMicrotask(die)
    else if (after === 'tick') setImmediate(die)
    else setTimeout(die, after)
  }
}

process.once('SIGTERM', () => process.exit(0))
process.once('disconnect', () => process.exit(0))
process.once('message', async (start: Start) => {
  const config = await loadConfig({ file: process.argv[2], env: {} })
  await startBroker(config, { onStep: armed(start) })
  process.send?.('started')
})
process.send?.('loaded')
