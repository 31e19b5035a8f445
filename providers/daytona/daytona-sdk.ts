import type * as Sdk from '@daytonaio/sdk'
import { RollcallError } from '../../protocol/failure.ts'

/** The official SDK, under the name that it is installed by (docs/decisions/2026-11-21-daytona-sdk-under-its-old-name.md). */
export const daytonaPackage = '@daytonaio/sdk@0.218.0'

export type DaytonaSdk = Pick<typeof Sdk, 'Daytona' | 'Image'>
export type { CreateSandboxFromImageParams, CreateSandboxFromSnapshotParams, Daytona, PtyHandle } from '@daytonaio/sdk'
export type DaytonaSandbox = Sdk.Sandbox

/** An optional dependency of 100 MB, loaded when the first sandbox is asked for. @throws `configuration-invalid` */
export async function loadDaytonaSdk(): Promise<DaytonaSdk> {
  try {
    return await import('@daytonaio/sdk')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error
    throw new RollcallError(
      'configuration-invalid',
      `Provider daytona needs the package ${daytonaPackage}: npm install ${daytonaPackage}`,
      { cause: error },
    )
  }
}
