import { isJsonObject, parseJson } from '../lib/json.ts'
import { readBounded } from '../lib/read-bounded.ts'
import { REPORT_MEDIA_TYPE } from '../sessions/report.ts'

/** What became of one report. */
export type Posted =
  | { readonly ok: true }
  /** `refused`: the broker is there, and will say no until somebody mends something. */
  | { readonly ok: false; readonly refused: boolean; readonly why: string }

const POST_MS = 5000
const MAX_ANSWER_BYTES = 4096

/** Sends one report; acknowledged means that the broker answered with its sequence. Never rejects. */
export async function postReport(
  url: URL,
  report: string,
  { sequence, signal }: { readonly sequence: number; readonly signal: AbortSignal },
): Promise<Posted> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': REPORT_MEDIA_TYPE, accept: 'application/json' },
      body: report,
      redirect: 'error',
      signal: AbortSignal.any([AbortSignal.timeout(POST_MS), signal]),
    })
    const { status } = response
    const answer = await readBounded(response.body, MAX_ANSWER_BYTES)
    if (status === 200 && sequenceIn(answer) === sequence) return { ok: true }
    const refused = status >= 400 && status < 500
    return { ok: false, refused, why: `the broker answers ${status} to reports` }
  } catch (error) {
    return { ok: false, refused: false, why: `the broker cannot be told: ${messageOf(error)}` }
  }
}

function sequenceIn(answer: Uint8Array): unknown {
  try {
    const value = parseJson(answer)
    return isJsonObject(value) ? value.sequence : undefined
  } catch {
    return undefined
  }
}

function messageOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error && cause.message !== '' ? `${message}: ${cause.message}` : message
}
