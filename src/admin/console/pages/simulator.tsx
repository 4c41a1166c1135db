import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { ask } from '../api/client.ts'
import type { Decision, Server, ServerDetail } from '../api/types.ts'
import { keepInAddress, place } from '../state/router.ts'
import { known, loadSessions } from '../state/sessions.ts'
import { useStore } from '../state/store.ts'
import { Field, focusWrong, SelectField, TextField } from '../ui/field.tsx'
import { useAction, useLoad } from '../ui/load.ts'
import { ProblemNote } from '../ui/state.tsx'
import { byText } from '../ui/text.ts'
import { argumentsProblem, exampleOf } from './simulator-arguments.ts'
import { Verdict } from './simulator-verdict.tsx'

const METHODS = [
  ['tools/call', 'Call a tool'],
  ['prompts/get', 'Get a prompt'],
  ['resources/read', 'Read a resource'],
] as const

const KIND_OF: Readonly<Record<string, string>> = {
  'tools/call': 'tool',
  'prompts/get': 'prompt',
  'resources/read': 'resource',
}

const NAMES = ['workload', 'principal', 'server', 'method', 'name', 'task', 'address'] as const
type Question = Record<(typeof NAMES)[number], string>

function fromAddress(): Question {
  const { query } = place.get()
  const found = Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? '']))
  return { ...found, method: query.get('method') ?? 'tools/call' } as Question
}

/** “May this agent call this tool with these arguments, and by which policy?” */
export function SimulatorPage() {
  const [question, setQuestion] = useState<Question>(fromAddress)
  const [text, setText] = useState('{}')
  const [asked, setAsked] = useState(false)
  const [answered, setAnswered] = useState<{ readonly to: string; readonly decision: Decision }>()
  const { busy, problem, run } = useAction()
  const { sessions } = useStore(known)
  const servers = useLoad<{ items: readonly Server[] }>('/servers')
  const { workload, principal, server, method, name, task, address } = question
  const at = servers.value?.items.find(({ resource }) => resource === server)
  const detail = useLoad<ServerDetail>(server === '' ? undefined : '/servers/detail', {
    resource: server,
  })
  const kind = KIND_OF[method]
  const offered = (at?.definitions ?? []).filter((each) => each.kind === kind)
  const definition = detail.value?.definitions.find(
    (each) => each.kind === kind && each.name === name,
  )
  const wrong = method === 'resources/read' ? undefined : argumentsProblem(text)
  const form = useRef<HTMLFormElement>(null)
  const set = (values: Partial<Question>) => setQuestion((before) => ({ ...before, ...values }))
  // An answer to another question, given before or come late, is none to this one.
  const to = JSON.stringify([question, text])
  const decision = answered?.to === to ? answered.decision : undefined
  useEffect(() => {
    if (known.get().sessions.length === 0) void loadSessions({})
  }, [])
  useEffect(() => {
    const first = servers.value?.items[0]
    if (server === '' && first !== undefined) setQuestion((q) => ({ ...q, server: first.resource }))
  }, [servers.value, server])
  useLayoutEffect(() => keepInAddress(question), [question])
  const explain = () =>
    run(async () => {
      const given = method === 'resources/read' ? {} : (JSON.parse(text) as object)
      const body = {
        workload: workload.trim(),
        server,
        method,
        ...(principal.trim() === '' ? {} : { principal: principal.trim() }),
        ...(name === '' ? {} : { name }),
        ...(name === '' || Object.keys(given).length === 0 ? {} : { arguments: given }),
        ...(task === '' ? {} : { task }),
        ...(address === '' ? {} : { address }),
      }
      const found = await ask<Decision>('/policies/explain', { method: 'POST', body })
      setAnswered({ to, decision: found })
    })
  const agents = [...new Set(sessions.map((session) => session.workload))]
    .sort(byText)
    .slice(0, 200)
  return (
    <>
      <div class="page-head">
        <h1>Simulator</h1>
        <p>
          May this agent call this tool with these arguments, and by which policy? Nothing is
          issued.
        </p>
      </div>
      <div class="columns even">
        <form
          ref={form}
          class="card form"
          noValidate
          onSubmit={(event) => {
            event.preventDefault()
            setAsked(true)
            if (workload.trim() !== '' && wrong === undefined && server !== '') explain()
            else focusWrong(form.current)
          }}
        >
          <TextField
            look="whole"
            label="Agent"
            required
            placeholder="spiffe://corp.example/agents/bot"
            list={agents}
            value={workload}
            onValue={(value) => set({ workload: value })}
            wrong={asked && workload.trim() === '' ? 'Which agent asks?' : undefined}
          />
          <SelectField
            label="MCP server"
            value={server}
            onValue={(value) => set({ server: value, name: '' })}
            options={(servers.value?.items ?? []).map((each) => [
              each.resource,
              `${each.name} – ${each.resource}`,
            ])}
          />
          <SelectField
            label="Action"
            value={method}
            onValue={(value) => set({ method: value, name: '' })}
            options={METHODS}
          />
          <SelectField
            look="whole"
            label="Tool, prompt or resource"
            value={name}
            onValue={(value) => set({ name: value })}
            options={[
              ['', 'None: a session token is asked for'],
              ...offered.map((each) => [each.name, each.name] as const),
            ]}
          />
          {name !== '' && method !== 'resources/read' && (
            <Field look="whole" label="Arguments (JSON)" wrong={wrong}>
              {(ids) => (
                <textarea
                  {...ids}
                  class="mono"
                  rows={8}
                  spellcheck={false}
                  value={text}
                  onInput={(event) => setText(event.currentTarget.value)}
                />
              )}
            </Field>
          )}
          {definition !== undefined && method === 'tools/call' && (
            <div class="whole row">
              <button
                type="button"
                class="button slim"
                onClick={() => setText(exampleOf(definition.definition.inputSchema))}
              >
                Fill in from the schema
              </button>
            </div>
          )}
          <details class="plain whole">
            <summary>For whom, task, address</summary>
            <div class="form inner">
              <TextField
                label="Acts for"
                hint="Without it, for itself"
                value={principal}
                onValue={(value) => set({ principal: value })}
              />
              <TextField label="Task" value={task} onValue={(value) => set({ task: value })} />
              <TextField
                label="Address"
                value={address}
                onValue={(value) => set({ address: value })}
              />
            </div>
          </details>
          <div class="whole">
            <button type="submit" class="button main" aria-disabled={busy}>
              {busy ? 'Asking …' : 'Ask the policies'}
            </button>
          </div>
        </form>
        <div class="stack">
          {servers.problem !== undefined && (
            <ProblemNote problem={servers.problem} retry={servers.reload} />
          )}
          {problem !== undefined && <ProblemNote problem={problem} />}
          <Verdict decision={decision} />
        </div>
      </div>
    </>
  )
}
