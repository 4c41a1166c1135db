import { signed } from './api/client.ts'
import { stream } from './api/events.ts'
import { useStore } from './state/store.ts'
import { type Theme, theme } from './state/theme.ts'
import { Dialog } from './ui/dialog.tsx'
import { Icon, type IconName } from './ui/icon.tsx'
import { say } from './ui/toast.tsx'

type Link = readonly [to: string, text: string, icon: IconName]

const NAVIGATION: readonly (readonly [string, readonly Link[]])[] = [
  [
    'Watch',
    [
      ['/sessions', 'Sessions', 'sessions'],
      ['/revocations', 'Revocations', 'revocations'],
      ['/audit', 'Audit', 'audit'],
    ],
  ],
  [
    'Rules',
    [
      ['/policies', 'Policies', 'policies'],
      ['/simulator', 'Simulator', 'simulator'],
      ['/catalogue', 'Catalogue', 'catalogue'],
    ],
  ],
  [
    'System',
    [
      ['/identities', 'Identities', 'identities'],
      ['/keys', 'Keys', 'keys'],
      ['/health', 'Health', 'health'],
      ['/people', 'People', 'people'],
    ],
  ],
]

export function Side({ path }: { path: string }) {
  return (
    <div class="side">
      <Brand />
      <Navigation path={path} />
      <Who />
    </div>
  )
}

export function Menu({ path, onClose }: { path: string; onClose: () => void }) {
  return (
    <Dialog title="Menu" look="menu" onClose={onClose}>
      <div class="side">
        <Navigation path={path} />
        <Who />
      </div>
    </Dialog>
  )
}

export function PhoneBar({ onMenu }: { onMenu: () => void }) {
  return (
    <div class="phone-bar">
      <Brand />
      <span class="push" />
      <Live />
      <button type="button" class="button quiet icon" aria-label="Menu" onClick={onMenu}>
        <Icon name="menu" size={22} />
      </button>
    </div>
  )
}

const Brand = () => (
  <a class="brand" href="/sessions">
    <img src="/mark.svg" alt="" />
    Writ
  </a>
)

function Navigation({ path }: { path: string }) {
  const now = useStore(signed)
  const isAdmin = now.is === 'in' && now.me.role === 'admin'
  const at = path === '/' ? '/sessions' : path
  return (
    <nav class="nav" aria-label="Pages">
      {NAVIGATION.map(([title, links]) => (
        <div key={title}>
          <h2>{title}</h2>
          <ul>
            {links
              .filter(([to]) => isAdmin || to !== '/people')
              .map(([to, text, icon]) => (
                <li key={to}>
                  <a
                    href={to}
                    {...(at === to || at.startsWith(`${to}/`) ? { 'aria-current': 'page' } : {})}
                  >
                    <Icon name={icon} />
                    {text}
                  </a>
                </li>
              ))}
          </ul>
        </div>
      ))}
    </nav>
  )
}

const STREAM = {
  off: 'Not live',
  connecting: 'Connecting',
  live: 'Live',
  reconnecting: 'Reconnecting',
}

export function Live() {
  const now = useStore(stream)
  return (
    <span class={`stream ${now}`} role="status">
      {STREAM[now]}
    </span>
  )
}

const THEMES: readonly (readonly [Theme, string, IconName])[] = [
  ['system', 'Colours of the system', 'auto'],
  ['light', 'Light', 'sun'],
  ['dark', 'Dark', 'moon'],
]

function Who() {
  const now = useStore(signed)
  const chosen = useStore(theme)
  if (now.is !== 'in') return null
  return (
    <div class="who">
      <Live />
      <div>
        <div class="name cut">{now.me.name}</div>
        <div class="muted small">{now.me.role}</div>
      </div>
      <div class="row">
        <fieldset class="segments" aria-label="Colours">
          {THEMES.map(([each, text, icon]) => (
            <button
              key={each}
              type="button"
              aria-pressed={chosen === each}
              aria-label={text}
              title={text}
              onClick={() => theme.set(each)}
            >
              <Icon name={icon} size={16} />
            </button>
          ))}
        </fieldset>
        {now.me.kind === 'person' && (
          <button type="button" class="button quiet slim push" onClick={signOut}>
            Sign out
          </button>
        )}
      </div>
    </div>
  )
}

function signOut(): void {
  const now = signed.get()
  const csrf = now.is === 'in' ? (now.me.csrf ?? '') : ''
  fetch('/sign-in/out', { method: 'POST', headers: { 'x-writ-csrf': csrf } })
    .then((response) => {
      if (!response.ok && response.status !== 401) throw new Error(String(response.status))
      signed.set({ is: 'out', ended: false })
    })
    .catch(() => say('The broker did not sign you out. Try again.'))
}

/** Whether the person may change anything; the API decides, this only does not offer what it refuses. */
export function useMayChange(): boolean {
  const now = useStore(signed)
  return now.is === 'in' && now.me.role === 'admin'
}
