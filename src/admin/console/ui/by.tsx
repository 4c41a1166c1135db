import { useEffect } from 'preact/hooks'
import { ask, signed } from '../api/client.ts'
import type { Person } from '../api/types.ts'
import { createStore, useStore } from '../state/store.ts'
import { shortId } from './text.ts'

const PERSON = 'person:'
const names = createStore<ReadonlyMap<string, string>>(new Map())
let asked = false

/** Who may sign in is for admins to see; everybody else sees the ids. */
function askNames(): void {
  const now = signed.get()
  if (asked || now.is !== 'in' || now.me.role !== 'admin') return
  asked = true
  ask<{ items: readonly Person[] }>('/people', { background: true }).then(
    ({ items }) => names.set(new Map(items.map(({ id, name }) => [id, name]))),
    () => {
      asked = false
    },
  )
}

interface ByProps {
  readonly id: string
  /** As the broker told it; nobody has to ask then. */
  readonly name?: string | undefined
}

/** Who did something: a person by name where that may be known, anybody else by id. */
export function By({ id, name }: ByProps) {
  const known = useStore(names)
  const unnamed = name === undefined && id.startsWith(PERSON)
  useEffect(() => {
    if (unnamed) askNames()
  }, [unnamed])
  const now = signed.get()
  const mine = now.is === 'in' && now.me.id === id ? now.me.name : undefined
  const found = unnamed ? known.get(id.slice(PERSON.length)) : name
  return <span title={id}>{mine ?? found ?? shortId(id).name}</span>
}
