import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadCedar } from '../../src/policy/cedar.ts'
import { checkPolicies } from '../../src/policy/check.ts'
import { checkInWorker } from '../../src/policy/checker.ts'
import { splitPolicies } from '../../src/policy/policy-text.ts'
import { vocabularyOf } from '../../src/policy/vocabulary.ts'
import { catalogueWith, RESOURCE } from '../catalogue/pins.ts'

const { schema, servers } = vocabularyOf(
  catalogueWith({
    tool: [
      {
        name: 'add_note',
        inputSchema: {
          type: 'object',
          properties: {
            title: { type: 'string' },
            pin: { type: 'boolean' },
            amount: { type: 'number' },
          },
          required: ['title'],
        },
      },
    ],
  }),
)
const cedar = loadCedar()
const check = (text: string) =>
  checkPolicies(cedar, { files: [{ name: 'a.cedar', text }], schema, servers }, () => {})
const permit = (when: string) =>
  `permit (principal, action == desk::Action::"add_note", resource) when { ${when} };`

const REFUSED: readonly [string, string, RegExp][] = [
  [
    'an unknown tool',
    '\n\npermit (principal, action == desk::Action::"ad_note", resource);',
    /a\.cedar:3: .*unrecognized action `desk::Action::"ad_note"`; did you mean `desk::Action::"add_note"`\?/,
  ],
  [
    'an unknown argument',
    `// é\n\n${permit('\ncontext.input.titel == "x"')}`,
    /a\.cedar:4: .*`input\.titel`.* not found; did you mean `title`\?/,
  ],
  [
    'an unknown member of the context',
    permit('context.adress == "x"'),
    /`adress`.*did you mean `address`/,
  ],
  [
    'an unknown server in a scope',
    'permit (principal, action, resource == McpServer::"https://mcp.example/mpc");',
    /not in the catalogue; did you mean McpServer::"https:\/\/mcp\.example\/mcp"/,
  ],
  [
    'an unknown server in a condition',
    permit('resource == McpServer::"https://x.example/"'),
    /not in the catalogue/,
  ],
  [
    'an unknown namespace',
    'permit (principal, action == other::Action::"add_note", resource);',
    /a\.cedar:1: /,
  ],
  [
    'an unknown entity type',
    'permit (principal in Agent::"x", action, resource);',
    /a\.cedar:1: .*Agent/,
  ],
  ['an argument compared with another type', permit('context.input.title == 1'), /a\.cedar:1: /],
  ['an optional argument without has', permit('context.input.pin'), /a\.cedar:1: .*pin/],
  [
    'a number compared as if it were exact',
    permit('context.input has amount && context.input.amount < 3'),
    /a\.cedar:1: /,
  ],
  [
    'an argument for all actions',
    'permit (principal, action, resource) when { context.input.title == "x" };',
    /a\.cedar:1: /,
  ],
  [
    'a syntax error',
    'permit (principal, action, resource);\n\nforbid (x',
    /a\.cedar:3: .*unexpected|invalid|expected/,
  ],
  ['a policy that is not ended', 'permit (principal, action, resource)', /a\.cedar:1: /],
  [
    '`in` of an entity that is not in the question',
    permit('Workload::"spiffe://corp.example/a" in TrustDomain::"corp.example"'),
    /a\.cedar:1: `in` can only be asked of principal, action and resource/,
  ],
  [
    '`is … in` of one of two entities',
    permit('(if context.delegated then principal else principal) is Workload in Path::"x"'),
    /`in` can only be asked/,
  ],
  ['a template', 'permit (principal == ?principal, action, resource);', /a\.cedar:1: /],
  ['a policy that can never apply', permit('false'), /a\.cedar:1: .*impossible/],
  ['a character that hides another', permit('context.input.title == "a\u202eb"'), /a\.cedar:1: /],
  [
    'two policies with one @id',
    '@id("x") permit (principal, action, resource);\n@id("x") forbid (principal, action, resource);',
    /a\.cedar:2: @id "x" is taken by a\.cedar:1/,
  ],
  [
    'an unknown annotation',
    '@lifetme("3") permit (principal, action, resource);',
    /a\.cedar:1: @lifetme is not an annotation; did you mean @lifetime\?/,
  ],
  [
    'an endless lifetime',
    '@lifetime("301") permit (principal, action, resource);',
    /@lifetime must be a number from 1 to 300/,
  ],
  ['no lifetime', '@lifetime("0") permit (principal, action, resource);', /@lifetime/],
  ['a lifetime in words', '@lifetime("1m") permit (principal, action, resource);', /@lifetime/],
  ['uses without measure', '@uses("1001") permit (principal, action, resource);', /@uses must be/],
  [
    'another binding',
    '@binding("bearer") permit (principal, action, resource);',
    /@binding must be "dpop" or "mtls"/,
  ],
  [
    'another approval',
    '@approval("maybe") permit (principal, action, resource);',
    /@approval must be "required"/,
  ],
  [
    'an annotation that means nothing',
    '@lifetime("3") forbid (principal, action, resource);',
    /means nothing on a forbid/,
  ],
  ['deep nesting', permit(`${'('.repeat(80)}true${')'.repeat(80)}`), /nested too deeply/],
  [
    'a long chain',
    permit(Array(200).fill('context.input.title == "x"').join(' || ')),
    /nested too deeply/,
  ],
]
for (const [title, text, words] of REFUSED) {
  test(`${title} does not load, and the problem says where and what`, () => {
    const answer = check(text)
    assert.ok(!answer.ok)
    assert.match(answer.problems.join('\n'), words)
  })
}

test('problems of all policies are said at once', () => {
  const answer = check(`${permit('context.input.x == 1')}\n${permit('context.input.y == 1')}`)
  assert.ok(!answer.ok)
  assert.equal(answer.problems.length, 2)
})

test('a success that carries errors is a failure', () => {
  const lying = {
    ...cedar,
    validate: (call: Parameters<typeof cedar.validate>[0]) => {
      const answer = cedar.validate(call)
      assert.equal(answer.type, 'success', 'the engine calls a policy with errors a success')
      return answer
    },
  }
  const question = {
    files: [{ name: 'a.cedar', text: permit('context.input.x == 1') }],
    schema,
    servers,
  }
  assert.equal(checkPolicies(lying, question, () => {}).ok, false)
})

const KILLERS: readonly [string, string][] = [
  ['brackets', `${'('.repeat(1000)}true${')'.repeat(1000)}`],
  ['conditions', `${'if true then true else ('.repeat(1000)}true${')'.repeat(1000)}`],
  ['additions', `1${' + 1'.repeat(20_000)} == 1`],
]
for (const [title, when] of KILLERS) {
  test(`${title} that kill the engine kill a worker only, and the file is blamed`, async () => {
    const answer = await checkInWorker({
      files: [
        { name: 'good.cedar', text: permit('true') },
        { name: 'bad.cedar', text: permit(when) },
      ],
      schema,
      servers,
    })
    assert.ok(!answer.ok)
    assert.match(
      answer.problems.join('\n'),
      /^(bad\.cedar: the policy engine died|bad\.cedar:1: is nested too deeply)/,
    )
    assert.equal(check(permit('true')).ok, true)
  })
}

test('what is just allowed can be decided with', () => {
  const deepest = [
    permit(`${'('.repeat(50)}context.input.title == "x"${')'.repeat(50)}`),
    permit(Array(110).fill('context.input.title == "y"').join(' || ')),
    permit(`1${' + 1'.repeat(110)} == 1 || true`),
  ]
  for (const text of deepest) {
    assert.equal(check(text).ok, true, text.slice(0, 100))
    assert.equal(cedar.preparsePolicySet('deep', { staticPolicies: { a: text } }).type, 'success')
    const answer = cedar.statefulIsAuthorized({
      principal: { type: 'Workload', id: 'x' },
      action: { type: 'desk::Action', id: 'add_note' },
      resource: { type: 'McpServer', id: RESOURCE },
      context: { input: { title: 'z' } },
      preparsedPolicySetId: 'deep',
      entities: [],
    })
    assert.equal(answer.type, 'success')
  }
})

test('files are split at the semicolons that end policies', () => {
  const text =
    '// a; b\npermit (principal, action, resource); // c; "\n\nforbid (principal, action, resource) when { "x; \\"//" == context.server }; // end'
  assert.deepEqual(
    splitPolicies(text).map(({ text: policy, line }) => [policy.slice(0, 6), line]),
    [
      ['permit', 2],
      ['forbid', 4],
    ],
  )
  assert.deepEqual(splitPolicies('// nothing\n'), [])
})

for (const end of ['\u2028', '\u2029', '\u0085', '\v']) {
  test(`a comment goes on after U+${end.charCodeAt(0).toString(16)}, as Cedar has it`, () => {
    const text = `forbid (principal, action, resource); // was:${end}permit (principal, action, resource);\n`
    const whole = cedar.policySetTextToParts(text)
    assert.ok(whole.type === 'success' && whole.policies.length === 1)
    const answer = check(text)
    assert.ok(answer.ok)
    assert.deepEqual(
      answer.policies.map((policy) => policy.effect),
      ['forbid'],
    )
  })
}
