import type { Policies } from '../api/types.ts'
import { List } from '../ui/list.tsx'
import { useLoad } from '../ui/load.ts'
import { Loading, ProblemNote } from '../ui/state.tsx'
import { counted } from '../ui/text.ts'

export function PoliciesPage() {
  const { value, problem, reload } = useLoad<Policies>('/policies')
  return (
    <>
      <div class="page-head">
        <h1>Policies</h1>
        <a class="button main push" href="/simulator">
          Try them
        </a>
        <p>
          As they serve now. Nothing is allowed that no policy permits, and a forbid always wins.
        </p>
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
      {value === undefined ? (
        problem === undefined && <Loading what="the policies" />
      ) : (
        <div class="stack">
          <List
            caption="Policies"
            items={value.policies}
            keyOf={({ id }) => id}
            columns={[
              {
                title: 'Policy',
                phone: 'title',
                cell: ({ id, file, line }) => (
                  <span class="two">
                    <a class="strong" href={`#${encodeURIComponent(file)}`} title={id}>
                      {id}
                    </a>
                    <span>
                      {file}, line {line}
                    </span>
                  </span>
                ),
              },
              {
                title: 'Effect',
                width: '104px',
                phone: 'aside',
                cell: ({ effect }) => (
                  <span class={`chip ${effect === 'permit' ? 'good' : 'bad'}`}>{effect}</span>
                ),
              },
              {
                title: 'Says',
                width: '50%',
                cell: ({ annotations }) => (
                  <span class="wrap">
                    {Object.entries(annotations).length === 0 ? (
                      <span class="muted">–</span>
                    ) : (
                      Object.entries(annotations).map(([name, text]) => (
                        <span key={name} class="annotation">
                          <span class="muted">{name}</span> {text}
                        </span>
                      ))
                    )}
                  </span>
                ),
              },
            ]}
          />
          {value.files.map(({ name, text }) => (
            <section key={name} class="card" id={name} aria-label={name}>
              <h2>
                {name}
                <span class="muted small push">{counted(text.split('\n').length, 'line')}</span>
              </h2>
              <pre class="policy">{text}</pre>
            </section>
          ))}
          <p class="muted small">
            Version <code class="wrap">{value.version}</code>, checked against the catalogue{' '}
            <code class="wrap">{value.catalogueVersion}</code>.
          </p>
        </div>
      )}
    </>
  )
}
