import { defineTask } from 'rollcall'

/** Tasks in TypeScript: `rollcall run examples/tasks.ts --provider local` */

/** Graded by a command, like the rows of examples/taskset.yaml. */
export const upperCase = defineTask({
  name: 'upper-case',
  instruction: 'Write the words of words.txt in upper case into loud.txt, in the same order.',
  image: 'debian:12',
  files: { 'words.txt': 'apple\npear\nplum\n' },
  check: 'tr a-z A-Z <words.txt | cmp - loud.txt',
  solution: 'tr a-z A-Z <words.txt >loud.txt',
  runtime: { network: 'none' },
  metadata: { difficulty: 'easy', tags: ['text'] },
})

const limits = [10, 100, 1000]

/** Tasks made by a loop, each graded by a function that runs on a worker. */
export const primes = limits.map((limit) =>
  defineTask({
    name: `primes-${limit}`,
    instruction: `Write all primes below ${limit} into primes.txt, one on each line, in ascending order.`,
    image: 'debian:12',
    files: { 'README.md': 'The result belongs into primes.txt.\n' },
    runtime: { network: 'none' },
    solution: `for n in $(seq 2 ${limit - 1}); do d=2; prime=1
while [ $((d * d)) -le $n ]; do [ $((n % d)) = 0 ] && prime=0 && break; d=$((d + 1)); done
[ $prime = 1 ] && echo $n; done >primes.txt`,
    metadata: { difficulty: limit > 100 ? 'hard' : 'easy' },
    grade: async ({ readFile, exec }) => {
      const found = (await readFile('primes.txt'))?.trim().split('\n').map(Number) ?? []
      const wanted = primesBelow(limit)
      const right = found.filter((number, index) => number === wanted[index]).length
      const { stdout } = await exec('wc -l <primes.txt 2>/dev/null || echo 0')
      const reward = right === wanted.length && found.length === wanted.length ? 1 : 0
      return { reward, right: right / wanted.length, lines: Number(stdout.trim()) }
    },
  }),
)

function primesBelow(limit: number): number[] {
  const numbers = Array.from({ length: limit - 2 }, (_, index) => index + 2)
  return numbers.filter((n) => numbers.every((d) => d * d > n || n % d !== 0))
}
