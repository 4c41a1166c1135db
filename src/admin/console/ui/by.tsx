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

/** Who did something: a person by name where that may be known, anybody else by id. */
export function By({ id }: { id: string }) {
  const known = useStore(names)
  const isPerson = id.startsWith(PERSON)
  useEffect(() => {
    if (isPerson) askNames()
  }, [isPerson])
  const now = signed.get()
  const mine = now.is === 'in' && now.me.id === id
  const name = mine ? now.me.name : isPerson ? known.get(id.slice(PERSON.length)) : undefined
  return <span title={id}>{name ?? shortId(id).name}</span>
}
