/**
 * Prints the number of each user on a line of its own, found as the runner finds it; an empty line for one that there is
 * not. Asked before the agent has run, since its root could write another number into /etc/passwd.
 */
export function userNumbersScript(users: readonly string[]): string {
  const names = users.map((user) => `'${(user.split(':')[0] ?? '').replaceAll("'", `'\\''`)}'`)
  return `for wanted in ${names.join(' ')}; do
  found=
  case $wanted in *[!0-9]*) ;; *) found=$wanted ;; esac
  while IFS=: read -r name rest number rest; do
    if [ "$name" = "$wanted" ] || [ "$number" = "$wanted" ]; then
      found=$number
      break
    fi
  done </etc/passwd
  echo "$found"
done`
}

export function parseUserNumbers(printed: string): (number | undefined)[] {
  const lines = printed.split('\n').slice(0, -1)
  return lines.map((line) => (/^\d+$/.test(line) ? Number(line) : undefined))
}
