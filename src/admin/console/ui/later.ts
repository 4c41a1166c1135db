import { useEffect, useState } from 'preact/hooks'

const AFTER_MS = 200

/** The value once it has stopped changing: for what is asked of the broker while somebody types. */
export function useLater<T>(value: T): T {
  const [later, setLater] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setLater(() => value), AFTER_MS)
    return () => clearTimeout(timer)
  }, [value])
  return later
}
