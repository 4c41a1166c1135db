import { useEffect, useState } from 'preact/hooks'

const NARROW = '(max-width: 860px)'

/** Whether the page is as narrow as a phone: tables are lists of cards then. */
export function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches)
  useEffect(() => {
    const query = matchMedia(NARROW)
    const told = () => setNarrow(query.matches)
    query.addEventListener('change', told)
    return () => query.removeEventListener('change', told)
  }, [])
  return narrow
}
