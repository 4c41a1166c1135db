import type { Logger } from 'pino'
import type { WorkloadApi } from '../spiffe/workload-api.ts'

/** How long a start waits for the broker's own SVID: an agent that starts beside it is there by then. */
const WAIT_MS = 10_000

/** The Workload APIs a configuration names; each is connected to once, however often it is named. */
export interface WorkloadApis {
  open(socket: string): Promise<WorkloadApi>
}

/** @param stack closes what was opened */
export function createWorkloadApis(log: Logger, stack: AsyncDisposableStack): WorkloadApis {
  const opened = new Map<string, Promise<WorkloadApi>>()

  async function connect(socket: string): Promise<WorkloadApi> {
    // gRPC is a tenth of a start, and most brokers have no Workload API.
    const { openWorkloadApi } = await import('../spiffe/workload-api.ts')
    const api = openWorkloadApi({
      socket,
      waitMs: WAIT_MS,
      onProblem: (problem) => log.warn(`Workload API ${socket}: ${String(problem)}`),
    })
    stack.defer(() => api.close())
    return api
  }

  return {
    open(socket) {
      const known = opened.get(socket)
      if (known !== undefined) return known
      const connecting = connect(socket)
      opened.set(socket, connecting)
      return connecting
    },
  }
}
