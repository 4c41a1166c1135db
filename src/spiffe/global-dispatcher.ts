const NAME = Symbol.for('undici.globalDispatcher.1')
const slots = globalThis as { [NAME]?: unknown }
const before = slots[NAME]

/**
 * Loading undici puts its own dispatcher under Node's `fetch`. Nobody who opens a SPIFFE connection
 * asked for other connections to change, so what was there when this file was loaded is put back.
 */
export function restoreGlobalDispatcher(): void {
  if (slots[NAME] !== before) slots[NAME] = before
}
