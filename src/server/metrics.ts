/**
 * Numbers for operators, on the admin listener. Every label has few values: doors, outcomes, reason
 * codes and the names of checks, never anything a caller chose.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export interface Metrics {
  /** One token request: `issued`, or the code it was refused with. */
  exchanged(door: string, result: string, seconds: number): void
  /** The store could not be asked, or its answer not be trusted. */
  storeFailed(): void
  /** Something was thrown that is not a refusal. */
  failed(): void
  /** Prometheus text. */
  text(): Promise<string>
  readonly contentType: string
}

export interface Gauges {
  readonly feedFresh: () => boolean
  readonly feedStreams: () => number
  readonly inFlight: () => number
}

export function createMetrics(gauges: Gauges): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const exchanges = new Counter({
    name: 'writ_exchanges_total',
    help: 'token requests by door and result (issued, or the reason of the refusal)',
    labelNames: ['door', 'result'] as const,
    registers,
  })
  const seconds = new Histogram({
    name: 'writ_exchange_seconds',
    help: 'time from the request line to the answer',
    labelNames: ['door'] as const,
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1],
    registers,
  })
  const storeErrors = new Counter({
    name: 'writ_store_errors_total',
    help: 'requests refused because the store could not be asked',
    registers,
  })
  const errors = new Counter({
    name: 'writ_errors_total',
    help: 'requests that ended in server_error; each has a line in the log',
    registers,
  })
  gauge(registry, 'writ_revocations_fresh', 'whether the revocation feed is heard', () =>
    gauges.feedFresh() ? 1 : 0,
  )
  gauge(registry, 'writ_feed_streams', 'followers of /revocations', gauges.feedStreams)
  gauge(registry, 'writ_requests_in_flight', 'requests being answered', gauges.inFlight)

  // Looking a label set up costs more than the counting; there are few, so they are kept.
  const counters = new Map<string, Counter.Internal>()
  const timers = new Map<string, Histogram.Internal<'door'>>()
  return {
    exchanged(door, result, took) {
      const name = `${door} ${result}`
      let counter = counters.get(name)
      if (counter === undefined) {
        counter = exchanges.labels(door, result)
        counters.set(name, counter)
      }
      counter.inc()
      let timer = timers.get(door)
      if (timer === undefined) {
        timer = seconds.labels(door)
        timers.set(door, timer)
      }
      timer.observe(took)
    },
    storeFailed: () => storeErrors.inc(),
    failed: () => errors.inc(),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read())
    },
  })
}
