import { signed } from '../api/client.ts'
import { place } from '../state/router.ts'
import { useStore } from '../state/store.ts'
import { Icon } from '../ui/icon.tsx'
import { Notice } from '../ui/state.tsx'

export function SignInPage() {
  const { path, query } = useStore(place)
  const now = useStore(signed)
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
        {now.is === 'out' && now.ended && (
          <div class="ended" role="alert">
            <Notice kind="warn" title="Your sign-in has ended">
              What you were about to do was not done. Sign in, and do it again.
            </Notice>
          </div>
        )}
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
