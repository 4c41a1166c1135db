/** What one corpus says about us. */
export interface CorpusResult {
  readonly name: string
  /** Cases run. */
  readonly total: number
  /** Cases answered as the corpus expects, or either way where it leaves the answer open. */
  readonly right: number
  /** Ids of what had to be refused and was accepted, or was answered wrongly. Must be empty. */
  readonly wrongAccepts: string[]
  /** What had to be accepted and was refused, and which rule of ours says so. */
  readonly wrongRejects: { id: string; reason: string }[]
}
