// One broker under measurement, as a process of its own.
import { answerCpu, type ServerOptions } from './child.ts'
import { openSubject } from './subject.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as ServerOptions
const { running, svids, proofUrl } = await openSubject(options)
answerCpu(`${running.publicUrl}/token`, { svids: svids.join(' '), proofUrl })
