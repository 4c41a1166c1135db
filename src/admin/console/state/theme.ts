import { createStore } from './store.ts'

export type Theme = 'system' | 'dark' | 'light'

const KEY = 'writ.theme'

export const theme = createStore<Theme>(kept())

function kept(): Theme {
  try {
    const found = localStorage.getItem(KEY)
    return found === 'dark' || found === 'light' ? found : 'system'
  } catch {
    return 'system'
  }
}

/** Follows the choice from now on; without one, the system's. */
export function startTheme(): void {
  const show = () => {
    const chosen = theme.get()
    if (chosen === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = chosen
  }
  show()
  theme.subscribe(() => {
    show()
    try {
      if (theme.get() === 'system') localStorage.removeItem(KEY)
      else localStorage.setItem(KEY, theme.get())
    } catch {
      // A browser that keeps nothing still shows the choice until the page is left.
    }
  })
}
