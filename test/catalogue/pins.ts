import type { Action } from '../../src/action/action.ts'
import { type Catalogue, catalogueOf } from '../../src/catalogue/catalogue.ts'
import { makePin } from '../../src/catalogue/pin.ts'
import type { JsonObject } from '../../src/lib/json.ts'

export const RESOURCE = 'https://mcp.example/mcp'

/** A pin of one server called "desk". */
export function pinOf(offered: Parameters<typeof makePin>[0], name = 'desk', resource = RESOURCE) {
  return makePin(offered, { name, resource, pinnedAt: '2026-11-01T00:00:00.000Z' })
}

export function catalogueWith(offered: Parameters<typeof makePin>[0]): Catalogue {
  return catalogueOf([pinOf(offered)])
}

export function call(
  identifier: string,
  args: JsonObject = {},
  more: Partial<Action> = {},
): Action {
  return {
    server: RESOURCE,
    method: 'tools/call',
    identifier,
    arguments: args,
    input: undefined,
    task: undefined,
    ...more,
  }
}
