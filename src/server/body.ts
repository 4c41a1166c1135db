/** Bodies, where what is wrong with one is a refusal. */
import type { IncomingMessage } from 'node:http'
import { BodyError, type ReceivedForm, readBody, receiveForm } from '../lib/form.ts'
import { refuse } from '../refusal.ts'

/** @throws {Refusal} `request_malformed`, `request_too_large` */
export async function takeForm(
  request: IncomingMessage,
  limitBytes: number,
): Promise<ReceivedForm> {
  return receiveForm(request, limitBytes).catch((error) => refuseBody(error, limitBytes))
}

/** @throws {Refusal} `request_malformed`, `request_too_large` */
export async function takeBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return readBody(request, limitBytes).catch((error) => refuseBody(error, limitBytes))
}

function refuseBody(error: unknown, limitBytes: number): never {
  if (!(error instanceof BodyError)) throw error
  if (error.fault === 'too_large') refuse({ code: 'request_too_large', limitBytes }, error)
  refuse({ code: 'request_malformed', detail: error.message }, error)
}
