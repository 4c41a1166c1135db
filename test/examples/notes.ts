import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Note {
  readonly id: string
  readonly title: string
  readonly text: string
}

/** Notes in one JSON file, changed one after the other; each change is on disk before it is answered. */
export class Notes {
  readonly file: string
  #last: Promise<unknown> = Promise.resolve()

  constructor(directory: string) {
    this.file = join(directory, 'notes.json')
  }

  async list(): Promise<readonly Note[]> {
    try {
      return JSON.parse(await readFile(this.file, 'utf8'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  }

  add(title: string, text: string): Promise<Note> {
    return this.#change((notes) => {
      const id = String(1 + Math.max(0, ...notes.map((note) => Number(note.id))))
      const note = { id, title, text }
      return { notes: [...notes, note], result: note }
    })
  }

  /** The note under its new title; undefined when there is none of that id. */
  rename(id: string, title: string): Promise<Note | undefined> {
    return this.#change((notes) => {
      const old = notes.find((note) => note.id === id)
      const renamed = old && { ...old, title }
      return {
        notes: notes.map((note) => (renamed && note.id === id ? renamed : note)),
        result: renamed,
      }
    })
  }

  /** The note that is gone; undefined when there was none of that id. */
  delete(id: string): Promise<Note | undefined> {
    return this.#change((notes) => ({
      notes: notes.filter((note) => note.id !== id),
      result: notes.find((note) => note.id === id),
    }))
  }

  #change<T>(step: (notes: readonly Note[]) => { notes: readonly Note[]; result: T }): Promise<T> {
    const change = this.#last.then(async () => {
      const { notes, result } = step(await this.list())
      const next = `${this.file}.next`
      await writeFile(next, `${JSON.stringify(notes, null, 2)}\n`)
      await rename(next, this.file)
      return result
    })
    this.#last = change.catch(() => {})
    return change
  }
}
