/** The Workload API by way of the program SPIRE comes with, which asks as whatever workload it runs as. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './child.ts'

const ATTEMPTS = 40
const PAUSE_MS = 250

export async function fetchJwtSvid(
  program: string,
  socket: string,
  audience: string,
): Promise<string> {
  const printed = await ask(program, socket, ['jwt', '-audience', audience, '-output', 'json'])
  return (JSON.parse(printed) as [{ svids: [{ svid: string }] }])[0].svids[0].svid
}

/**
 * Writes `svid.0.pem`, `svid.0.key` and `bundle.0.pem` into the folder.
 *
 * @returns the chain in PEM, the leaf first
 */
export async function fetchX509Svid(
  program: string,
  socket: string,
  directory: string,
): Promise<string[]> {
  await ask(program, socket, ['x509', '-write', directory])
  const text = await readFile(join(directory, 'svid.0.pem'), 'utf8')
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
}

/** Until SPIRE has heard of the workload: it is denied an identity before. */
async function ask(program: string, socket: string, what: readonly string[]): Promise<string> {
  const args = ['api', 'fetch', ...what, '-socketPath', socket.slice('unix://'.length)]
  for (let attempt = 1; ; attempt++) {
    try {
      return await run(program, args)
    } catch (error) {
      if (attempt === ATTEMPTS || !String(error).includes('no identity issued')) throw error
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }
}
