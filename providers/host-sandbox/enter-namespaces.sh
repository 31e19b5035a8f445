#!/bin/sh
# Runs as process 1 of new namespaces: enter-namespaces.sh ROOT NAME MOUNTS COMMAND…
# Makes the mounts of the file MOUNTS, in the form of fstab(5), makes ROOT the root directory and becomes COMMAND.
set -eu

# This /proc is still the host's, so "self" is this process as the host knows it.
read -r pid _ </proc/self/stat
printf '"child-pid": %s\n}\n' "$pid" >&4
exec 4>&-

root=$1 name=$2 mounts=$3
shift 3
hostname "$name" 2>/dev/null || :
ip link set lo up 2>/dev/null || :

# One program for all: a mount of its own for each would be most of what a sandbox costs.
mount --all --fstab "$mounts"

cd "$root"
pivot_root . .
umount -l .
cd /
exec "$@"
