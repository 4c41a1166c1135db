/** Starts `agent-main.ts` and tells it what to do. */
import { fileURLToPath } from 'node:url'
import { start } from './child.ts'

/** How the agent proves itself, and what its tokens are bound to. */
export type Face = 'jwt' | 'x509' | 'mtls'

export interface AgentConfig {
  readonly broker: string
  readonly brokerSpiffeId: string
  readonly resource: string
  readonly socket: string
}

/** What to call; without a face, to show its certificate and whom it trusts. */
export type Instruction =
  | { readonly id: number; readonly face: Face; readonly arguments: Record<string, unknown> }
  | { readonly id: number; readonly face?: undefined }

/** In base64 of DER. */
export interface Shown {
  readonly certificate: string
  /** The authorities of its own trust domain and of those it is federated with. */
  readonly trusted: readonly string[]
}

export type Report =
  | { readonly id: number; readonly text: string }
  | { readonly id: number; readonly error: string; readonly code?: string | undefined }

export interface AgentProcess {
  /**
   * Calls the tool `greet`, and returns what it said.
   *
   * @throws {Error} with the message and the `code` of what stopped the call
   */
  greet(face: Face, name?: string): Promise<string>
  /** What the Workload API says to it now. */
  show(): Promise<Shown>
  stop(): Promise<void>
}

const MAIN = fileURLToPath(new URL('./agent-main.ts', import.meta.url))

/** @param program what its process runs, which says who it is to SPIRE */
export function startAgent(program: string, config: AgentConfig): AgentProcess {
  const args = ['--disable-warning=ExperimentalWarning', MAIN, JSON.stringify(config)]
  const child = start(program, args, { ipc: true })
  const waiting = new Map<number, (report: Report) => void>()
  let calls = 0
  child.process.on('message', (report: Report) => {
    waiting.get(report.id)?.(report)
    waiting.delete(report.id)
  })
  child.process.once('exit', () => {
    for (const [id, answer] of waiting) answer({ id, error: `it ended\n${child.printed()}` })
  })
  async function ask(instruction: (id: number) => Instruction): Promise<string> {
    const id = ++calls
    const report = await new Promise<Report>((resolve) => {
      waiting.set(id, resolve)
      child.process.send(instruction(id))
    })
    if ('text' in report) return report.text
    throw Object.assign(new Error(report.error), { code: report.code })
  }
  return {
    greet: (face, name = 'Ada') => ask((id) => ({ id, face, arguments: { name } })),
    show: async () => JSON.parse(await ask((id) => ({ id }))) as Shown,
    stop: () => child.stop(),
  }
}
