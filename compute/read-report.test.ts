import { expect, test } from 'vitest'
import { nothingKnown } from './node.ts'
import { readReport } from './read-report.ts'

test('what is not said is unknown', () => {
  expect(readReport('')).toEqual(nothingKnown)
  expect(readReport('Welcome to the lab!\n\n')).toEqual(nothingKnown)
})

test('every fact of a machine with GPUs', () => {
  const said = [
    'Last login: yesterday',
    'os\tLinux',
    'architecture\tx86_64',
    'distribution\tUbuntu 24.04.1 LTS',
    'cores\t64',
    'memoryKiB\t527945012',
    'diskKiB\t1048575999',
    'gpusOnBus\t2',
    'gpu\tNVIDIA A100-SXM4-80GB\t81920',
    'driver\t550.90.07',
    'gpu\tNVIDIA A100-SXM4-80GB\t81920',
    'driver\t550.90.07',
    'cuda\t12.4',
    'pythons\tyes',
    'python\t3.9.19',
    'python\t3.12.3',
    'python\t3.12.3',
    'docker\t28.2.2',
    'conda\t24.5.0',
    'internet\tno',
    '',
  ]
  expect(readReport(said.join('\n'))).toEqual({
    os: 'Linux',
    distribution: 'Ubuntu 24.04.1 LTS',
    architecture: 'x86_64',
    cores: 64,
    memoryMiB: 515_571,
    diskMiB: 1_023_999,
    gpus: [
      { name: 'NVIDIA A100-SXM4-80GB', vramMiB: 81_920 },
      { name: 'NVIDIA A100-SXM4-80GB', vramMiB: 81_920 },
    ],
    driver: '550.90.07',
    cuda: '12.4',
    pythons: ['3.12.3', '3.9.19'],
    docker: '28.2.2',
    conda: '24.5.0',
    internet: false,
    roundTripMs: 'unknown',
  })
})

test('GPUs whose driver does not speak are counted, and none is none', () => {
  expect(readReport('gpusOnBus\t1\n').gpus).toEqual([{ name: 'unknown', vramMiB: 'unknown' }])
  expect(readReport('gpusOnBus\t0\npythons\tyes\n')).toMatchObject({ gpus: [], pythons: [] })
  expect(readReport('gpu\tGB200\t[N/A]\n').gpus).toEqual([{ name: 'GB200', vramMiB: 'unknown' }])
})
