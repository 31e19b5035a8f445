/**
 * Runs the example tasks from TypeScript: `npx node examples/typescript/run-examples.ts` in the clone. The job goes on
 * when this program ends; `Job.attach(job.id)` comes back to it.
 */

import { Taskset } from 'rollcall'

const taskset = await Taskset.load('examples/tasks')
const job = await taskset.run({ agent: 'oracle', provider: 'local', attempts: 2, concurrency: 4 })
for await (const event of job.events()) console.log(event)
const report = await job.result()
console.log(`mean ${report.mean}, ${report.graded} graded, ${report.failed} failed`)
await job.close()
