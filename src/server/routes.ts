/** Every path the broker answers, in one table. Anything else is 404, another method 405. */
import type { Context, Next } from 'koa'

export type Answer = (ctx: Context, next: Next) => void | Promise<void>
export type Routes = Readonly<Record<string, Readonly<Partial<Record<'GET' | 'POST', Answer>>>>>

export function router(routes: Routes): Answer {
  const table = new Map(Object.entries(routes))
  return (ctx, next) => {
    const route = table.get(ctx.path)
    if (route === undefined) return refuseRoute(ctx, 404, 'there is nothing here')
    const method = ctx.method === 'HEAD' ? 'GET' : ctx.method
    const answer = Object.hasOwn(route, method) ? route[method as 'GET' | 'POST'] : undefined
    if (answer !== undefined) return answer(ctx, next)
    ctx.set('Allow', Object.keys(route).join(', '))
    refuseRoute(ctx, 405, 'this method is not supported here')
  }
}

function refuseRoute(ctx: Context, status: number, description: string): void {
  ctx.status = status
  if (!ctx.req.complete) ctx.set('Connection', 'close')
  ctx.body = { error: 'invalid_request', error_description: description }
}
