/** Server-sent events, as they are read (HTML Living Standard §9.2.6). */

export interface StreamedEvent {
  /** `message` when the sender does not say. */
  readonly event: string
  readonly data: string
  /** Where to go on after it; none where that did not change. */
  readonly id?: string
}

/** Cuts a stream into its events, however it was cut on its way. What is cut off at its end is none. */
export class EventStreamParser {
  readonly #maxCharacters: number
  #rest = ''
  #characters = 0
  #event = ''
  #id: string | undefined
  #data: string[] = []

  /** @param maxCharacters of one event as it is sent */
  constructor(maxCharacters: number) {
    this.#maxCharacters = maxCharacters
  }

  /** @throws {Error} when an event is too long: nothing can be read of this stream any more */
  push(text: string): StreamedEvent[] {
    // A return at the very end may be half of a line's end.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/)
    this.#rest = lines.pop() ?? ''
    const events: StreamedEvent[] = []
    for (const line of lines) {
      this.#bound(line)
      if (line === '') events.push(...this.#end())
      else this.#take(line)
    }
    if (this.#characters + this.#rest.length > this.#maxCharacters) throw new Error(TOO_LONG)
    return events
  }

  #bound({ length }: string): void {
    // Its end counts as well: an event of empty lines of data is long, too.
    this.#characters += length + 1
    if (this.#characters > this.#maxCharacters) throw new Error(TOO_LONG)
  }

  #take(line: string): void {
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1))
    if (name === 'data') this.#data.push(value)
    else if (name === 'event') this.#event = value
    else if (name === 'id' && !value.includes('\0')) this.#id = value
  }

  #end(): StreamedEvent[] {
    const id = this.#id
    const found = { event: this.#event || 'message', data: this.#data.join('\n') }
    const whole = this.#data.length > 0
    this.#characters = 0
    this.#event = ''
    this.#id = undefined
    this.#data = []
    return whole ? [{ ...found, ...(id === undefined ? {} : { id }) }] : []
  }
}

const TOO_LONG = 'an event is too long'
