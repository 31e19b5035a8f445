import type { ResolvedImage } from './image-resolver.ts'

/**
 * What the image itself would run, for the supervisor to start: ENTRYPOINT and CMD, as the image's USER. The supervisor
 * runs as root, and images have either `setpriv` (Debian's) or a `su` that is told its shell (busybox).
 */
export function imageCommand(image: ResolvedImage): readonly string[] | undefined {
  if (image.command.length === 0) return undefined
  if (image.user === undefined || ['0', 'root'].includes(image.user.split(':')[0] ?? '')) return image.command
  return ['sh', '-c', switchUser, 'rollcall', image.user, ...image.command]
}

/** As with the Engine, a number needs no entry in /etc/passwd. */
const switchUser = `user=$1 name=\${1%%:*} home=/ gid=0 groups=--clear-groups
shift
while IFS=: read -r n _ u g _ h _; do
  [ "$n" = "$name" ] || [ "$u" = "$name" ] || continue
  home=$h gid=$g groups=--init-groups
  break
done </etc/passwd
case $user in *:*) gid=\${user#*:} groups=--clear-groups ;; esac
export HOME="$home"
if setpriv --reuid=0 true 2>/dev/null; then
  exec setpriv "--reuid=$name" "--regid=$gid" $groups "$@"
fi
exec su -m -s /bin/sh -c 'exec "$0" "$@"' -- "$name" "$@"`
