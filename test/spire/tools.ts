/** What the MCP server of these tests offers, and the broker pins. */
export const TOOLS = [
  {
    name: 'greet',
    description: 'Greets somebody.',
    inputSchema: {
      type: 'object',
      properties: { name: { type: 'string', maxLength: 100 } },
      required: ['name'],
      additionalProperties: false,
    },
    annotations: { readOnlyHint: true, openWorldHint: false },
  },
]
