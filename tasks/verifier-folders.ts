/** What a separate verifier has for itself: tests that no agent has seen, and the reward. */
const verifierFolders = ['/tests', '/logs/verifier'] as const

/** The folder of a separate verifier that holds an absolute path or lies below it; undefined for one that is clear of them. */
export function verifierFolderAt(path: string): string | undefined {
  return verifierFolders.find((folder) => isWithin(folder, path) || isWithin(path, folder))
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`)
}
