/** What `import { … } from 'rollcall'` gives. */
export { Job } from './job.ts'
export type { JobProgress } from './job.ts'
export type { RunningRollout } from './running-rollouts.ts'
export type { RetriedStep } from './hindrance.ts'
export { Schedule } from './schedule.ts'
export type { ScheduleState } from './schedule.ts'
export type { ScheduleOptions } from './schedule-options.ts'
export { regradeJob } from './regrade-job.ts'
export type { RegradeOptions } from './regrade-job.ts'
export { rerunJob } from './rerun-job.ts'
export type { RerunOptions } from './rerun-job.ts'
export { Taskset } from './taskset.ts'
export type { AgentOption, AttachOptions, RunOptions } from './run-options.ts'
export { environmentOfProcess } from './environment.ts'
export type { ClientEnvironment } from './environment.ts'
export { RollcallError } from '../protocol/failure.ts'
export type { Failure, FailureCode } from '../protocol/failure.ts'
export type { JobEvent, JobState, JobStatus } from '../protocol/events.ts'
export type { Integrity, JobSummary, Rewards, RolloutResult } from '../protocol/grade.ts'
export type { RuntimeConfig } from '../protocol/runtime-config.ts'
export type { GroupStatistics, JobStatistics } from '../protocol/statistics.ts'
export type { ScheduleVerdict, TaskChange, Verdict } from '../protocol/schedule.ts'
export type { Selection } from '../protocol/job.ts'
export type { Task } from '../tasks/task.ts'
export { defineTask } from '../tasks/define-task.ts'
export type {
  DefinedTask,
  Grader,
  GraderExecOptions,
  GraderExecResult,
  GraderInput,
  TaskDefinition,
} from '../tasks/define-task.ts'
export type { AskedVariable } from './host-consent.ts'
export type { Store } from '../store/store.ts'
