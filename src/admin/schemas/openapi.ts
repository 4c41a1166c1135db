import { z } from 'zod'

export const openApi = z
  .looseObject({ openapi: z.literal('3.1.0') })
  .meta({ id: 'OpenApi', description: 'an OpenAPI 3.1 document' })
