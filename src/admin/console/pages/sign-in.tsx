import { place } from '../state/router.ts'
import { useStore } from '../state/store.ts'
import { Icon } from '../ui/icon.tsx'

export function SignInPage() {
  const { path, query } = useStore(place)
  const text = query.toString()
  const to = new URLSearchParams({ to: text === '' ? path : `${path}?${text}` })
  return (
    <main class="sign-in">
      <div class="card">
        <img src="/mark.svg" alt="" />
        <div>
          <h1>Writ</h1>
          <p class="muted">See what every agent does. Stop any of them.</p>
        </div>
        <a class="button main" href={`/sign-in/start?${to}`} data-leave="">
          <Icon name="fingerprint" />
          Sign in with a passkey
        </a>
        <p class="muted small">
          No passkey yet? The first admin follows the link that <code>writ serve</code> prints;
          everybody else is invited by an admin.
        </p>
      </div>
    </main>
  )
}
