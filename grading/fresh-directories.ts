/**
 * Replaces `/logs/verifier` and `/tests` right before the tests: what the agent wrote there is gone, a link it made of
 * them is not followed. Both belong to root, and so does `/logs`, whose owner could put another folder in their place; the
 * verifier's own user may write its log folder. Fails rather than grade in a folder that could not be emptied. `/tests`
 * itself may be a mount point: then it is only emptied. What is in it is not named one by one: it may be more than an
 * argument list holds. Parents are given to root before anything is made in them, or their owner could move it away.
 */
export function freshDirectoriesScript(verifierUser: string | undefined): string {
  const owner = ownerLine(verifierUser)
  return `
set -e
for folder in /logs /tests; do
  if [ -L "$folder" ] || [ ! -d "$folder" ]; then rm -f "$folder"; fi
done
mkdir -p /logs /tests
if [ "$(id -u)" = 0 ]; then chown 0:0 /logs /tests; fi
chmod 755 /logs /tests
rm -rf /tests || :
mkdir -p /tests
chmod 755 /tests
rm -rf /logs/verifier
mkdir /logs/verifier
chmod 755 /logs/verifier
${owner}
for left in /logs/verifier/* /tests/* /tests/.[!.]* /tests/..?*; do
  if [ -e "$left" ] || [ -L "$left" ]; then echo "cannot remove $left" >&2; exit 1; fi
done
`
}

/** For a sandbox that only the verifier has: its image brings `/tests`, so only the log folder is made anew. */
export function freshLogsScript(verifierUser: string | undefined): string {
  return `
set -e
rm -rf /logs/verifier
mkdir -p /logs/verifier
chmod 755 /logs/verifier
${ownerLine(verifierUser)}
`
}

function ownerLine(verifierUser: string | undefined): string {
  return verifierUser === undefined ? '' : `chown '${verifierUser.replaceAll("'", `'\\''`)}' /logs/verifier`
}
