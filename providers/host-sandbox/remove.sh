#!/bin/sh
# Removes the directory of a sandbox whose processes have been killed: remove.sh DIRECTORY TRASH SECONDS
# Exits 75 when something of the sandbox still runs after SECONDS. A directory that is gone already is fine.

[ -d "$1" ] || exit 0
umask 077
{ exec 9>>"$1/lock"; } 2>/dev/null
flock -w "$3" 9 || exit 75

# Somebody else may have removed it meanwhile and a third made it anew: that one is not ours to remove.
if [ "$1/lock" -ef /dev/fd/9 ]; then
  mv "$1" "$2" || exit 74
fi
exec 9>&-
if [ -d "$2" ]; then
  rm -rf "$2" 2>/dev/null || { chmod -R u+rwX "$2" && rm -rf "$2"; }
fi
