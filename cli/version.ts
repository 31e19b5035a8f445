import packageJson from '../package.json' with { type: 'json' }

export const rollcallVersion: string = packageJson.version
