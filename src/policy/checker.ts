/** Asks a worker thread whether policies are good, and survives when it dies of them. */
import { Worker } from 'node:worker_threads'
import type { CheckAnswer, CheckQuestion } from './check.ts'

/** Hundreds of policies over a hundred tools take a few seconds. */
const TIMEOUT_MS = 60_000
/**
 * Less than a main thread has (about 1 MB), so that what passes here does not overflow there.
 */
const STACK_MB = 0.75

/** Resolves with the answer, or with a problem when there was none. Never rejects. */
export async function checkInWorker(question: CheckQuestion): Promise<CheckAnswer> {
  // The same folder holds `.ts` when run from source and `.js` when built.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const progress = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(new URL(`./check-worker.${extension}`, import.meta.url), {
    workerData: { question, progress },
    resourceLimits: { stackSizeMb: STACK_MB, maxOldGenerationSizeMb: 1024 },
  })
  worker.unref()
  let timer: NodeJS.Timeout | undefined
  try {
    return await new Promise<CheckAnswer>((resolve) => {
      const died = (why: string) => {
        const file = question.files[progress[0] as number]?.name ?? 'the policies together'
        resolve({ ok: false, problems: [`${file}: ${why}`] })
      }
      const crashed = 'the policy engine died while reading this; it is probably nested too deeply'
      timer = setTimeout(() => died(`not checked within ${TIMEOUT_MS / 1000} s`), TIMEOUT_MS)
      worker.on('message', (answer: CheckAnswer) => resolve(answer))
      worker.on('error', (error) =>
        died(isCrash(error) ? crashed : `could not be checked: ${error.message}`),
      )
      worker.on('exit', () => died(crashed))
    })
  } finally {
    clearTimeout(timer)
    await worker.terminate()
  }
}

/** A trap of the engine, a stack or a heap that is full: the text did it. Anything else is not its fault. */
function isCrash(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string }
  return name === 'RuntimeError' || name === 'RangeError' || code === 'ERR_WORKER_OUT_OF_MEMORY'
}
