/**
 * `npm run bench`: measures Rollcall on this machine, against the Engine's own exec in the same run, and prints what it
 * found beside the goals. Needs Docker; takes some minutes. What was measured once, and what it means, is in
 * docs/performance.md.
 *
 *     npm run bench -- --only bash-in-batch --only warm-rollouts
 *     npm run bench -- --runs 9 --json > figures.json
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { readServerRecord } from '../client/server/record.ts'
import { openBench } from './bench.ts'
import type { Bench } from './bench.ts'
import { describeMachine } from './machine.ts'
import type { Measure, Row } from './measure.ts'
import { bashInBatch } from './measures/bash-in-batch.ts'
import { callsInFlight } from './measures/calls-in-flight.ts'
import { manyTurns } from './measures/many-turns.ts'
import { oneCallTurnsMeasure } from './measures/one-call-turns.ts'
import { pools } from './measures/pools.ts'
import { recovery } from './measures/recovery.ts'
import { slotCalls } from './measures/slot-calls.ts'
import { warmRollouts } from './measures/warm-rollouts.ts'
import { wholeProcess } from './measures/whole-process.ts'
import { rowsTable } from './print-rows.ts'

const measures: readonly Measure[] = [
  bashInBatch,
  oneCallTurnsMeasure,
  callsInFlight,
  slotCalls,
  warmRollouts,
  wholeProcess,
  manyTurns,
  pools,
  recovery,
]
const failedExitCode = 1
const usageExitCode = 2
const interruptedExitCode = 130

const progress = (line: string): void => void process.stderr.write(`${line}\n`)

interface Settings {
  readonly chosen: readonly Measure[]
  readonly runs: number
  readonly json: boolean
}

/** @throws Error that says which option is wrong */
function readSettings(): Settings {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      runs: { type: 'string', default: '7' },
      json: { type: 'boolean', default: false },
    },
  })
  const runs = Number(values.runs)
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs is ${values.runs}: expected a whole number from 1`)
  const names = measures.map(({ name }) => name)
  const unknown = values.only?.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new Error(`--only is ${unknown}: expected one of ${names.join(', ')}`)
  return { chosen: measures.filter(({ name }) => values.only?.includes(name) ?? true), runs, json: values.json }
}

async function runAll(bench: Bench, chosen: readonly Measure[]): Promise<Row[]> {
  const rows: Row[] = []
  for (const measure of chosen) {
    progress(`${measure.name}: ${measure.describes} (load ${loadavg()[0]?.toFixed(2)})`)
    rows.push(...(await measure.run(bench)))
  }
  return rows
}

/** Settles when somebody ends the run, so that what it has started can be removed. */
function interrupted(): Promise<'interrupted'> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve('interrupted'))
  })
}

async function main({ chosen, runs, json }: Settings): Promise<number> {
  const bench = await openBench({ env: process.env, runs, progress }).catch((error: Error) => progress(error.message))
  if (bench === undefined) return failedExitCode
  try {
    const record = await readServerRecord(bench.environment.stateDirectory)
    const machine = await describeMachine(bench.docker, record?.serverVersion ?? 'unknown')
    const rows = await Promise.race([runAll(bench, chosen), interrupted()])
    if (rows === 'interrupted') return interruptedExitCode
    const text = json ? JSON.stringify({ machine, rows }, undefined, 2) : `${describe(machine)}\n${rowsTable(rows)}`
    process.stdout.write(`${text}\n`)
    return 0
  } finally {
    await bench.close()
  }
}

function describe(machine: object): string {
  return Object.entries(machine)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(' · ')
}

// A reader of the progress that has gone must not end the run before it has cleaned up.
process.stderr.on('error', () => undefined)

let settings: Settings | undefined
try {
  settings = readSettings()
} catch (error) {
  progress(error instanceof Error ? error.message : String(error))
}
// Not exitCode: a measure that was interrupted may still wait for something.
process.exit(settings === undefined ? usageExitCode : await main(settings))
