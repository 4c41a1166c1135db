/**
 * The policies of a directory, kept up to date: default deny, and deny whenever anything is in doubt.
 *
 * New text is read by a worker thread first. What is bad leaves what serves now serving, and says so.
 * An engine that throws is not asked again: everything is refused until a new one has been made, which
 * begins by itself.
 */
import type { Catalogue } from '../catalogue/catalogue.ts'
import { Refusal, refuse } from '../refusal.ts'
import { type Cedar, loadCedar } from './cedar.ts'
import type { CheckedPolicy, PolicyFile } from './check.ts'
import { type Decider, type Decision, EngineFailure, Places } from './decider.ts'
import { readDirectory, stampOf } from './directory.ts'
import { checkFiles } from './dry-run.ts'
import type { DecisionInput } from './request.ts'

export type { Decision } from './decider.ts'
export type { DecisionInput } from './request.ts'

export type Reloaded =
  | { readonly ok: true; readonly version: string }
  | { readonly ok: false; readonly problems: string[] }

/** The text behind one version: what serves, whatever the directory holds by now. */
export interface ServedPolicies {
  readonly files: readonly PolicyFile[]
  readonly policies: readonly CheckedPolicy[]
}

export interface Policies {
  /** Hash of the policies that serve and the catalogue they were checked against. */
  readonly version: string
  readonly served: ServedPolicies
  /**
   * Decides, at once and without a side effect.
   *
   * @throws {Refusal} policy_unavailable on any failure of the engine; arguments_invalid or
   *   arguments_too_costly for arguments that no policy could be asked about
   */
  decide(input: DecisionInput): Decision
  /** Reads the directory again; with a catalogue, checks against that one from now on. Never rejects. */
  reload(catalogue?: Catalogue): Promise<Reloaded>
  close(): Promise<void>
}

export interface PolicyOptions {
  readonly directory: string
  readonly catalogue: Catalogue
  /** How often the directory is looked at, in milliseconds; 0 for never. */
  readonly pollMs?: number
  /** Told what keeps a new version from serving, and why the engine went down. */
  readonly onProblem?: (problems: readonly string[]) => void
  /** Told when a new version serves. */
  readonly onReload?: (version: string) => void
  /** Makes an engine instance; tests break one on purpose. */
  readonly loadEngine?: () => Cedar
}

const POLL_MS = 2_000
/** Before a broken engine is replaced again, so that a text that kills every one does not keep a core busy. */
const RETRY_MS = 1_000

/** @throws {Error} that lists every problem, when the policies do not load */
export async function openPolicies(options: PolicyOptions): Promise<Policies> {
  const policies = new LivePolicies(options)
  const loaded = await policies.reload()
  if (!loaded.ok) {
    await policies.close()
    throw new Error(loaded.problems.join('\n'))
  }
  policies.watch()
  return policies
}

/** What decides now: an engine instance, the policy sets it holds, and one version of the policies. */
interface Serving {
  readonly cedar: Cedar
  readonly places: Places
  readonly decider: Decider
  readonly catalogue: Catalogue
  readonly served: ServedPolicies
  /** The same version for another engine instance. */
  again(): Decider
}

class LivePolicies implements Policies {
  readonly #options: PolicyOptions
  readonly #loadEngine: () => Cedar
  #catalogue: Catalogue
  #serving: Serving | undefined
  /** Why nothing is decided; `undefined` while all is well. */
  #down: string | undefined = 'not loaded yet'
  #stamp = ''
  /** What the last look found, when it was not what serves. */
  #unsettled = ''
  #queue: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #closed = false
  #revivedAt = 0

  constructor(options: PolicyOptions) {
    this.#options = options
    this.#catalogue = options.catalogue
    this.#loadEngine = options.loadEngine ?? loadCedar
  }

  get version(): string {
    return this.#serving?.decider.version ?? ''
  }

  get served(): ServedPolicies {
    return this.#serving?.served ?? { files: [], policies: [] }
  }

  decide(input: DecisionInput): Decision {
    if (this.#down !== undefined || this.#serving === undefined) {
      refuse({ code: 'policy_unavailable', detail: this.#down ?? 'not loaded yet' })
    }
    const { cedar, places, decider } = this.#serving
    try {
      return decider.decide(input, cedar, places)
    } catch (error) {
      if (error instanceof Refusal) throw error
      const failure = error instanceof EngineFailure
      const detail = failure ? error.message : 'the policy engine failed and is being replaced'
      if (!failure) this.#goDown(error)
      refuse({ code: 'policy_unavailable', detail }, error)
    }
  }

  reload(catalogue?: Catalogue): Promise<Reloaded> {
    const next = this.#queue.then(() => this.#reload(catalogue))
    this.#queue = next
    return next
  }

  /** Looks at the directory from time to time. */
  watch(): void {
    const pollMs = this.#options.pollMs ?? POLL_MS
    if (pollMs === 0 || this.#closed) return
    this.#timer = setTimeout(() => {
      this.#look().finally(() => this.watch())
    }, pollMs)
    this.#timer.unref()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    clearTimeout(this.#retry)
    this.#down = 'closed'
    await this.#queue
  }

  async #look(): Promise<void> {
    const stamp = await stampOf(this.#options.directory)
    // Files are written one after the other and each in pieces, and half of a set of policies can
    // permit what the whole forbids. So a change counts when the next look finds it unchanged.
    const settled = stamp === this.#unsettled
    this.#unsettled = stamp
    if (settled && stamp !== this.#stamp) await this.reload()
  }

  async #reload(catalogue: Catalogue | undefined): Promise<Reloaded> {
    if (this.#closed) return { ok: false, problems: ['closed'] }
    const problems: string[] = []
    try {
      const reading = await readDirectory(this.#options.directory)
      this.#stamp = reading.stamp
      if ('problem' in reading) throw reading.problem
      const { files } = reading
      const against = catalogue ?? this.#catalogue
      const answer = await checkFiles(files, against)
      if (answer.ok) {
        return this.#serve(answer.decider, { catalogue: against, served: answer })
      }
      problems.push(...answer.problems)
    } catch (error) {
      problems.push((error as Error).message)
    }
    this.#options.onProblem?.(problems)
    return { ok: false, problems }
  }

  #serve(
    make: () => Decider,
    { catalogue, served: { files, policies } }: Pick<Serving, 'catalogue' | 'served'>,
  ): Reloaded {
    if (this.#closed) return { ok: false, problems: ['closed'] }
    const healthy = this.#down === undefined ? this.#serving : undefined
    const { cedar, places } = healthy ?? { cedar: this.#loadEngine(), places: new Places() }
    const decider = make()
    const changed = decider.version !== this.#serving?.decider.version
    const served = { files, policies }
    this.#serving = { cedar, places, decider, catalogue, served, again: make }
    this.#catalogue = catalogue
    this.#down = undefined
    if (changed) this.#options.onReload?.(decider.version)
    return { ok: true, version: decider.version }
  }

  #goDown(error: unknown): void {
    if (this.#down !== undefined) return
    this.#down = 'the policy engine failed and is being replaced'
    this.#options.onProblem?.([
      `the policy engine failed: ${(error as Error)?.message ?? 'unknown'}`,
    ])
    const soon = Date.now() - this.#revivedAt < RETRY_MS
    this.#revive(soon ? RETRY_MS : 0)
  }

  /** The directory first: what killed the engine may be gone from it. Else the same version once more. */
  #revive(afterMs: number): void {
    if (this.#closed) return
    this.#retry = setTimeout(() => {
      this.#revivedAt = Date.now()
      this.reload().then((answer) => {
        const last = this.#serving
        if (answer.ok || this.#down === undefined || last === undefined) return
        try {
          this.#serve(last.again, last)
        } catch {
          this.#revive(RETRY_MS)
        }
      })
    }, afterMs)
    this.#retry.unref()
  }
}
