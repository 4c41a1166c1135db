/** Entries looked at by each call: more than a call can add. */
const SWEPT_PER_CALL = 4

/**
 * Drops what is over from a Map, a few entries with each call. A Map's iterator stays valid while
 * entries come and go, so each call goes on where the one before stopped.
 */
export function sweeperOf<K, V>(
  map: Map<K, V>,
  isOver: (value: V, now: number) => boolean,
  drop: (key: K, value: V) => void = (key) => map.delete(key),
): (now: number) => void {
  let entries = map.entries()
  return (now) => {
    for (let n = 0; n < SWEPT_PER_CALL; n++) {
      const next = entries.next()
      if (next.done) {
        entries = map.entries()
        return
      }
      const [key, value] = next.value
      if (isOver(value, now)) drop(key, value)
    }
  }
}
