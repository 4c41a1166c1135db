import { createStore } from './store.ts'

/** Where the console is: a path and its query. */
export interface Place {
  readonly path: string
  readonly query: URLSearchParams
  /** Counts where one has gone to: the same address again is another page, with what it begins with. */
  readonly turn: number
}

let turn = 0

const here = (): Place => ({
  path: location.pathname,
  query: new URLSearchParams(location.search),
  turn: turn++,
})

export const place = createStore<Place>(here())

const address = () => location.pathname + location.search
/** What is on the screen. */
let shown = address()

const scrolled = new Map<string, number>()

/** Follows links within the console without leaving the page, and the browser's back and forward. */
export function startRouter(): () => void {
  const onPop = () => {
    // A part of the same page: the browser goes to it.
    if (address() === shown) return
    shown = address()
    place.set(here())
    const top = scrolled.get(location.pathname) ?? 0
    requestAnimationFrame(() => window.scrollTo(0, top))
  }
  const onClick = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0) return
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    const link = (event.target as Element | null)?.closest?.('a[href]')
    if (!(link instanceof HTMLAnchorElement) || link.target !== '' || link.hasAttribute('download'))
      return
    const url = new URL(link.href)
    if (url.origin !== location.origin || link.dataset.leave !== undefined) return
    if (url.pathname === location.pathname && url.hash !== '') return
    event.preventDefault()
    go(url.pathname + url.search)
  }
  history.scrollRestoration = 'manual'
  addEventListener('popstate', onPop)
  document.addEventListener('click', onClick)
  return () => {
    removeEventListener('popstate', onPop)
    document.removeEventListener('click', onClick)
  }
}

export function go(to: string): void {
  scrolled.set(location.pathname, window.scrollY)
  history.pushState(null, '', to)
  shown = address()
  place.set(here())
  window.scrollTo(0, 0)
}

/**
 * Keeps a page's filters in its address, so that a link leads to the same view. Called in layout effects:
 * whoever goes on at once finds on their way back what they last saw.
 */
export function keepInAddress(values: Readonly<Record<string, string>>): void {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) if (value !== '') query.set(name, value)
  const text = query.toString()
  const to = location.pathname + (text === '' ? '' : `?${text}`)
  if (to === address()) return
  try {
    history.replaceState(null, '', to)
  } catch {
    // Browsers allow so many in a while, and a key may be held down. The next one says it all.
  }
  shown = address()
}
