import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { seeded } from './seeded.ts'
import type { Seeded } from './seeded.ts'

/** What the agent's commands leave in a sandbox if each of them runs exactly once. */
interface Expected {
  /** One label for each effect, in the order of the turns; within a parallel turn in any order. */
  readonly effects: string[]
  readonly daemons: string[]
  /** Each edit puts one more `x` into the ledger. */
  edits: number
}

interface ScriptedCall {
  tool: string
  args: Record<string, unknown>
}

interface ScriptedTurn {
  calls: ScriptedCall[]
  mode?: 'sequence' | 'parallel'
  stop_on_error?: boolean
}

/** Stands in the environment of every command of a run, so that what is left of it can be told from others' processes. */
export const runVariable = 'ROLLCALL_CHAOS_RUN'

export interface ChaosTaskset {
  readonly directory: string
  readonly count: number
  readonly seed: number
  /** Value of `runVariable`. */
  readonly run: string
}

/**
 * Writes a taskset: each task has an agent's script of at least ten tool calls, each with an effect that can be counted,
 * and tests that count them. In every fifth task the tests expect an effect that never comes: its reward is 0.
 */
export async function writeChaosTasks({ directory, count, seed, run }: ChaosTaskset): Promise<void> {
  const random = seeded(seed)
  for (let number = 1; number <= count; number += 1) {
    const { turns, expected } = makeTurns(random, run)
    if (number % 5 === 0) expected.effects.push('t99.c0')
    const files = {
      'task.toml': 'schema_version = "1.4"\n[environment]\nnetwork_mode = "no-network"\n',
      'instruction.md': 'Leave exactly one line for every command.\n',
      'environment/Dockerfile': `FROM ${random.pick(['debian:bookworm-slim', 'busybox:1.36'])}\nWORKDIR /app\n`,
      'solution/turns.yaml': stringify({ turns }),
      'solution/solve.sh': '#!/bin/sh\ntrue\n',
      'tests/test.sh': testScript,
      'tests/effects': lines(expected.effects),
      'tests/daemons': lines(expected.daemons.toSorted()),
      'tests/edits': `${'x'.repeat(expected.edits)}|\n`,
    }
    await writeFiles(join(directory, `task-${number}`), files)
  }
}

async function writeFiles(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(directory, name, '..'), { recursive: true })
    await writeFile(join(directory, name), text, { mode: name.endsWith('.sh') ? 0o755 : 0o644 })
  }
}

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join('')

/** At least 10 calls in 7 turns or more: quick, slow and parallel ones, files, daemons, failures. */
function makeTurns(random: Seeded, run: string): { turns: ScriptedTurn[]; expected: Expected } {
  const expected: Expected = { effects: [], daemons: [], edits: 0 }
  const turns: ScriptedTurn[] = [{ calls: [{ tool: 'write_file', args: { path: '/app/ledger', content: '|\n' } }] }]
  const shapes = [quick, slow, parallel, edits, withDaemon, failing, stopping]
  const chosen = shapes.map((shape) => ({ shape, order: random.next() })).toSorted((a, b) => a.order - b.order)
  for (const { shape } of chosen) turns.push(shape({ random, run, expected, turn: turns.length }))
  turns.push(quick({ random, run, expected, turn: turns.length }))
  return { turns, expected }
}

interface Making {
  readonly random: Seeded
  readonly run: string
  readonly expected: Expected
  readonly turn: number
}

const seconds = (random: Seeded, from: number, to: number): string => (from + random.next() * (to - from)).toFixed(2)
const labelOf = (turn: number, call: number): string => `t${String(turn).padStart(2, '0')}.c${call}`

/** A command that has its effect in the middle of its time. */
function effect({ random, run, expected, turn }: Making, call: number, most = 0.3): ScriptedCall {
  const label = labelOf(turn, call)
  expected.effects.push(label)
  const [before, after] = [seconds(random, 0, most), seconds(random, 0.02, most)]
  return bash(run, `sleep ${before}; echo "${label} $$" >>/app/effects; sleep ${after}; echo ${label}`)
}

const bash = (run: string, command: string): ScriptedCall => ({
  tool: 'bash',
  args: { command, env: { [runVariable]: run } },
})

const quick = (making: Making): ScriptedTurn => ({ calls: [effect(making, 0), effect(making, 1)] })
const slow = (making: Making): ScriptedTurn => ({ calls: [effect(making, 0, 1.5)] })
const parallel = (making: Making): ScriptedTurn => ({
  calls: [0, 1, 2].map((call) => effect(making, call, 0.8)),
  mode: 'parallel',
})

/** An edit that ran twice would find its own trace, and leave a second one. */
function edits({ expected }: Making): ScriptedTurn {
  expected.edits += 2
  const edit = { tool: 'edit_file', args: { path: '/app/ledger', old_string: '|', new_string: 'x|' } }
  return { calls: [edit, edit, { tool: 'read_file', args: { path: '/app/ledger' } }] }
}

function withDaemon({ expected, run, turn }: Making): ScriptedTurn {
  const label = labelOf(turn, 0)
  expected.daemons.push(label)
  const daemon = `setsid sh -c 'echo ${label} >>/app/daemons; exec sleep 600' >/dev/null 2>&1 </dev/null &`
  return { calls: [bash(run, `${daemon}\nuntil grep -q ${label} /app/daemons 2>/dev/null; do sleep 0.05; done`)] }
}

/** What fails has had its effect, too. */
function failing(making: Making): ScriptedTurn {
  const label = labelOf(making.turn, 0)
  making.expected.effects.push(label)
  return { calls: [bash(making.run, `echo "${label} $$" >>/app/effects; exit 3`), effect(making, 1)] }
}

/** What comes after a failure that stops the turn never runs. */
function stopping(making: Making): ScriptedTurn {
  const never = bash(making.run, 'echo never >>/app/effects')
  return { calls: [effect(making, 0), bash(making.run, 'exit 1'), never], stop_on_error: true }
}

/** Runs in any POSIX sh with coreutils or busybox. Its own effect is counted, too. */
const testScript = `#!/bin/sh
echo run >>/app/gradings
sleep 0.5
cd /app
[ -e effects ] || : >effects
[ -e daemons ] || : >daemons
count() { echo $(($(wc -l))); }
cut -d' ' -f1 effects >/tmp/labels
sort /tmp/labels >/tmp/labels.sorted
sort /tests/effects >/tmp/expected.sorted
doubled=$(uniq -d /tmp/labels.sorted | count)
missing=$(sort -u /tmp/labels.sorted | comm -13 - /tmp/expected.sorted | count)
foreign=$(sort -u /tmp/labels.sorted | comm -23 - /tmp/expected.sorted | count)
cut -d. -f1 /tmp/labels >/tmp/turns
sort /tmp/turns | cmp -s - /tmp/turns && disorder=0 || disorder=1
pids=$(cut -d' ' -f2 effects | sort | uniq -d | count)
sort daemons | cmp -s - /tests/daemons && daemons=1 || daemons=0
cmp -s ledger /tests/edits && edits=1 || edits=0
reward=0
[ "$doubled$missing$foreign$disorder$pids$daemons$edits" = 0000011 ] && reward=1
printf '{"reward": %s, "doubled": %s, "missing": %s, "foreign": %s, "disorder": %s, "samePid": %s, "daemons": %s, "edits": %s, "gradings": %s}' \\
  "$reward" "$doubled" "$missing" "$foreign" "$disorder" "$pids" "$daemons" "$edits" "$(count <gradings)" \\
  >/logs/verifier/reward.json
cat effects daemons ledger
`
