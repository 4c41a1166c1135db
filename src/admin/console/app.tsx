import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiProblem, askMe, signed } from './api/client.ts'
import { openStream } from './api/events.ts'
import { SignInPage } from './pages/sign-in.tsx'
import { pageAt } from './pages.tsx'
import { Menu, PhoneBar, Side } from './shell.tsx'
import { Shortcuts } from './shortcuts.tsx'
import { tellActivity } from './state/activity.ts'
import { place, startRouter } from './state/router.ts'
import { followSessions } from './state/sessions.ts'
import { useStore } from './state/store.ts'
import { Loading, ProblemNote } from './ui/state.tsx'
import { useClock } from './ui/time.tsx'
import { Toast } from './ui/toast.tsx'

export function App() {
  const now = useStore(signed)
  const [problem, setProblem] = useState<ApiProblem>()
  const start = () => {
    setProblem(undefined)
    askMe().catch((error: unknown) =>
      setProblem(error instanceof ApiProblem ? error : new ApiProblem({ status: 0 })),
    )
  }
  useEffect(start, [])
  useEffect(startRouter, [])
  useClock()
  if (problem !== undefined && now.is === 'asking') {
    return (
      <main class="sign-in">
        <h1 class="hidden">Writ</h1>
        <ProblemNote problem={problem} retry={start} />
      </main>
    )
  }
  if (now.is === 'out') return <SignInPage />
  if (now.is === 'asking') {
    return (
      <main>
        <Loading what="the console" />
      </main>
    )
  }
  return <Console />
}

function Console() {
  const { path, turn } = useStore(place)
  const main = useRef<HTMLElement>(null)
  const [menu, setMenu] = useState(false)
  const page = pageAt(path)
  useEffect(openStream, [])
  useEffect(followSessions, [])
  useEffect(tellActivity, [])
  // Another page closes the menu.
  useEffect(() => setMenu(false), [turn])
  useEffect(() => {
    // What had the focus is gone with the page before.
    if (turn > 0 && document.activeElement === document.body) {
      main.current?.focus({ preventScroll: true })
    }
  }, [turn])
  useEffect(() => {
    document.title = `${page.title} · Writ`
  }, [page.title])
  return (
    <>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <div class="shell">
        <Side path={path} />
        <PhoneBar onMenu={() => setMenu(true)} />
        <main id="content" tabIndex={-1} ref={main}>
          <div class="page" key={turn}>
            {page.show()}
          </div>
        </main>
      </div>
      {menu && <Menu path={path} onClose={() => setMenu(false)} />}
      <Shortcuts />
      <Toast />
    </>
  )
}
