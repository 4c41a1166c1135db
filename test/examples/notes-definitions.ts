import type { JsonObject } from '../../src/lib/json.ts'

const NOTE_ID = {
  type: 'string',
  pattern: '^[1-9][0-9]{0,8}$',
  description: 'as list_notes shows it',
}
const TITLE = { type: 'string', minLength: 1, maxLength: 200 }

/**
 * The tools of the example server, as `tools/list` answers them. The broker pins the same
 * definitions (`writ catalogue pin`), and a token names the hash of the one it is for: a server that
 * changes what a tool says or takes has to be pinned again before it is called again.
 */
export const NOTES_TOOLS = [
  {
    name: 'list_notes',
    description: 'Lists all notes: id and title.',
    inputSchema: { type: 'object', properties: {}, additionalProperties: false },
    annotations: { readOnlyHint: true, openWorldHint: false },
  },
  {
    name: 'add_note',
    description: 'Adds a note and answers its id.',
    inputSchema: {
      type: 'object',
      properties: { title: TITLE, text: { type: 'string', maxLength: 10_000 } },
      required: ['title', 'text'],
      additionalProperties: false,
    },
    annotations: { readOnlyHint: false, destructiveHint: false, openWorldHint: false },
  },
  {
    name: 'rename_note',
    description: 'Gives a note another title, after asking the user.',
    inputSchema: {
      type: 'object',
      properties: { id: NOTE_ID, title: TITLE },
      required: ['id', 'title'],
      additionalProperties: false,
    },
    annotations: {
      readOnlyHint: false,
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: false,
    },
  },
  {
    name: 'delete_note',
    description: 'Deletes a note for good.',
    inputSchema: {
      type: 'object',
      properties: { id: NOTE_ID },
      required: ['id'],
      additionalProperties: false,
    },
    annotations: { readOnlyHint: false, destructiveHint: true, openWorldHint: false },
  },
] as const satisfies readonly JsonObject[]
