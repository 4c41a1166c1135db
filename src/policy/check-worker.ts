/** A thread that may die: checks one set of policies and answers, or does not. */
import { parentPort, workerData } from 'node:worker_threads'
import { loadCedar } from './cedar.ts'
import { type CheckQuestion, checkPolicies } from './check.ts'

const port = parentPort
if (port === null) throw new TypeError('this file runs as a worker thread only')
const answer = checkPolicies(loadCedar(), workerData as CheckQuestion, (file) =>
  port.postMessage({ checking: file }),
)
port.postMessage({ answer })
