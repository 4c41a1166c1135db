/** kill -9 of the broker at each of the eight steps of an exchange, and just after them. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Step } from '../../src/exchange/broker.ts'
import type { Start } from './broker-main.ts'
import { type Lineage, load, makeLineage } from './lineage.ts'

const STEPS: readonly Step[] = [
  'prove',
  'spend',
  'check',
  'understand',
  'decide',
  'approve',
  'record',
  'mint',
]

const moments: readonly Start[] = [
  ...STEPS.map((step): Start => ({ step, after: 'at once', spared: 3 })),
  // While the store commits, while the audit is written, and between the token and the answer.
  { step: 'spend', after: 'tick', spared: 3 },
  { step: 'record', after: 'microtask', spared: 3 },
  { step: 'record', after: 'tick', spared: 3 },
  { step: 'record', after: 1, spared: 3 },
  { step: 'mint', after: 'microtask', spared: 3 },
  { step: 'mint', after: 'tick', spared: 3 },
  { step: 'mint', after: 1, spared: 3 },
]

describe('kill -9 of the broker loses nothing that was acknowledged, and leaves no token without a record', () => {
  let lineage: Lineage
  before(async () => {
    lineage = await makeLineage()
  })
  after(() => lineage.close())

  for (const moment of moments) {
    const when = typeof moment.after === 'number' ? `${moment.after} ms later` : moment.after
    it(`when step ${moment.step} begins, ${when}`, async () => {
      await lineage.start(moment)
      const since = lineage.received.length
      await load(lineage)
      assert.equal(lineage.broker?.child.signalCode, 'SIGKILL')
      await lineage.start({})
      await lineage.check(since)
      await lineage.broker?.stop('SIGKILL')
    })
  }
})
