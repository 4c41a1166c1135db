import type { ComponentChildren } from 'preact'
import { AuditPage } from './pages/audit.tsx'
import { CataloguePage, ServerPage } from './pages/catalogue.tsx'
import { HealthPage } from './pages/health.tsx'
import { IdentitiesPage } from './pages/identities.tsx'
import { KeysPage } from './pages/keys.tsx'
import { PeoplePage } from './pages/people.tsx'
import { PoliciesPage } from './pages/policies.tsx'
import { RevocationPage } from './pages/revocation.tsx'
import { RevocationsPage } from './pages/revocations.tsx'
import { SessionPage } from './pages/session.tsx'
import { SessionsPage } from './pages/sessions.tsx'
import { SimulatorPage } from './pages/simulator.tsx'
import { Empty } from './ui/state.tsx'

export interface ConsolePage {
  readonly title: string
  readonly show: () => ComponentChildren
}

const PAGES: Readonly<Record<string, ConsolePage>> = {
  '/': { title: 'Sessions', show: () => <SessionsPage /> },
  '/sessions': { title: 'Sessions', show: () => <SessionsPage /> },
  '/revocations': { title: 'Revocations', show: () => <RevocationsPage /> },
  '/audit': { title: 'Audit', show: () => <AuditPage /> },
  '/policies': { title: 'Policies', show: () => <PoliciesPage /> },
  '/simulator': { title: 'Simulator', show: () => <SimulatorPage /> },
  '/catalogue': { title: 'Catalogue', show: () => <CataloguePage /> },
  '/catalogue/server': { title: 'Server', show: () => <ServerPage /> },
  '/identities': { title: 'Identities', show: () => <IdentitiesPage /> },
  '/keys': { title: 'Keys', show: () => <KeysPage /> },
  '/health': { title: 'Health', show: () => <HealthPage /> },
  '/people': { title: 'People', show: () => <PeoplePage /> },
}

export function pageAt(path: string): ConsolePage {
  const found = PAGES[path]
  if (found !== undefined) return found
  const [, kind, id, ...rest] = path.split('/')
  if (id !== undefined && id !== '' && rest.length === 0) {
    const of = decoded(id)
    if (of === undefined) return NOT_HERE
    if (kind === 'sessions') return { title: 'Session', show: () => <SessionPage id={of} /> }
    if (kind === 'revocations') {
      return { title: 'Revocation', show: () => <RevocationPage id={of} /> }
    }
  }
  return NOT_HERE
}

const NOT_HERE: ConsolePage = {
  title: 'Not here',
  show: () => <Empty title="There is no such page">The menu has all that there are.</Empty>,
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}
