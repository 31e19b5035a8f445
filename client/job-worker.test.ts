import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { isDeadProcess } from './job-worker.ts'

test('a worker that was killed counts as dead although nobody has waited for it', async () => {
  // The shell becomes a program that never waits for its child.
  const parent = spawn('sh', ['-c', 'sleep 300 & echo $!; exec sleep 300'], { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const [line] = await once(createInterface(parent.stdout), 'line')
    const child = Number(line)
    await expect.poll(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8')).toBe('sleep\n')
    expect(isDeadProcess(child)).toBe(false)
    process.kill(child, 'SIGKILL')
    await expect.poll(() => isDeadProcess(child)).toBe(true)
    expect(() => process.kill(child, 0)).not.toThrow()
  } finally {
    parent.kill('SIGKILL')
  }
})
