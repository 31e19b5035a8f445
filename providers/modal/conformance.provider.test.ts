import { afterAll } from 'vitest'
import { cacheDirectory } from '../../protocol/directories.ts'
import { ensureTestImages } from '../../scripts/test-images.ts'
import { describeConformance } from '../conformance/describe-conformance.ts'
import { dockerConnection } from '../docker/docker-connection.ts'
import { openModalProvider, spawnModalServer } from './testing/modal-fixture.ts'

const connection = dockerConnection(process.env['DOCKER_HOST'])
const imageMap = await ensureTestImages({ connection, cacheDirectory: cacheDirectory(process.env) })
const server = await spawnModalServer()

afterAll(() => server.stop())

describeConformance('modal', { makeProvider: () => openModalProvider(server), spec: { imageMap } })
