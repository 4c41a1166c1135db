/**
 * The clock by which this process forgets: seconds since the epoch, and never ahead of
 * what has really passed since it was made.
 *
 * A wall clock that jumps ahead and back would otherwise have marks dropped in between, and what
 * they marked is valid again afterwards. A clock that is put back for good is followed at once, so
 * that nothing is refused for it; one that is put ahead for good is followed never, which only keeps
 * marks for longer.
 */
export function steadyClock(
  wall: () => number = () => Date.now() / 1000,
  monotonicMs: () => number = () => performance.now(),
): () => number {
  const startedAt = wall()
  const startedMs = monotonicMs()
  return () => Math.min(wall(), startedAt + (monotonicMs() - startedMs) / 1000)
}
