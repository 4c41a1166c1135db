import type { SessionAction, SessionUpdate } from '../../src/ledger/session-book.ts'

export function updateOf(id: string, changes: Partial<SessionUpdate> = {}): SessionUpdate {
  const lastAt = changes.lastAt ?? Date.now() / 1000
  return {
    id,
    workload: 'spiffe://corp.example/agent',
    principal: 'user:corp/ann',
    actors: [],
    key: 'thumbprint',
    firstAt: lastAt,
    lastAt,
    issued: 0,
    spent: 0,
    refused: 0,
    tokensUntil: 0,
    actions: [],
    ...changes,
  }
}

export function actionOf(at: number, changes: Partial<SessionAction> = {}): SessionAction {
  return { at, outcome: 'spent', by: 'gateway', ...changes }
}
