import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { cacheDirectory } from '../../protocol/directories.ts'
import { ensureTestImages, testImages } from '../../scripts/test-images.ts'
import { describeConformance } from '../conformance/describe-conformance.ts'
import { dockerConnection } from './docker-connection.ts'
import { createDockerProvider } from './docker-provider.ts'

const connection = dockerConnection(process.env['DOCKER_HOST'])
const stateDirectory = await mkdtemp(join(tmpdir(), 'rollcall-docker-'))
const imageMap = await ensureTestImages({ connection, cacheDirectory: cacheDirectory(process.env) })

afterAll(() => rm(stateDirectory, { recursive: true, force: true }))

const makeProvider = () => createDockerProvider({ connection, stateDirectory })

describeConformance('docker with Debian', { makeProvider, spec: { imageMap } })

describeConformance('docker with busybox', {
  makeProvider,
  spec: { image: { type: 'name', name: testImages.busybox } },
})
