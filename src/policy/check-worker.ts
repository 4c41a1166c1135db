/** A thread that may die: checks one set of policies and answers, or does not. */
import { parentPort, workerData } from 'node:worker_threads'
import { loadCedar } from './cedar.ts'
import { type CheckQuestion, checkPolicies } from './check.ts'

const port = parentPort
if (port === null) throw new TypeError('this file runs as a worker thread only')
const { question, progress } = workerData as { question: CheckQuestion; progress: Int32Array }
// In shared memory, because a message may not get out before the thread dies.
const answer = checkPolicies(loadCedar(), question, (at) => {
  progress[0] = at
})
port.postMessage(answer)
