import type { Logger } from 'pino'
import { openWorkloadApi, type WorkloadApi } from '../spiffe/workload-api.ts'

/** How long a start waits for the broker's own SVID: an agent that starts beside it is there by then. */
const WAIT_MS = 10_000

/** The Workload APIs a configuration names; each is connected to once, however often it is named. */
export interface WorkloadApis {
  open(socket: string): WorkloadApi
}

/** @param stack closes what was opened */
export function createWorkloadApis(log: Logger, stack: AsyncDisposableStack): WorkloadApis {
  const opened = new Map<string, WorkloadApi>()
  return {
    open(socket) {
      const known = opened.get(socket)
      if (known !== undefined) return known
      const api = openWorkloadApi({
        socket,
        waitMs: WAIT_MS,
        onProblem: (problem) => log.warn(`Workload API ${socket}: ${String(problem)}`),
      })
      stack.defer(() => api.close())
      opened.set(socket, api)
      return api
    },
  }
}
