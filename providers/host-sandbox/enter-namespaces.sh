#!/bin/sh
# Runs as process 1 of new namespaces: enter-namespaces.sh ROOT NAME [ro|rw SOURCE TARGET]… -- COMMAND…
# Makes ROOT the root directory with the given binds and becomes COMMAND.
set -eu

# This /proc is still the host's, so "self" is this process as the host knows it.
read -r pid _ </proc/self/stat
printf '"child-pid": %s\n}\n' "$pid" >&4
exec 4>&-

root=$1
hostname "$2" 2>/dev/null || :
ip link set lo up 2>/dev/null || :
shift 2

bind() { # ro|rw SOURCE TARGET
  if [ -d "$2" ]; then
    mkdir -p "$3"
  else
    mkdir -p "${3%/*}"
    [ -e "$3" ] || : >"$3"
  fi
  if [ "$1" = rw ]; then
    mount --rbind "$2" "$3"
  else
    mount -o rbind,ro "$2" "$3"
  fi
}

mount --bind "$root" "$root"
mkdir -p "$root/proc" "$root/dev/pts" "$root/dev/shm"
mount -t proc proc "$root/proc"
for device in null zero full random urandom tty; do
  bind rw "/dev/$device" "$root/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for link in pts/ptmx:ptmx /proc/self/fd:fd /proc/self/fd/0:stdin /proc/self/fd/1:stdout /proc/self/fd/2:stderr; do
  ln -sfn "${link%:*}" "$root/dev/${link#*:}"
done

while [ "$1" != -- ]; do
  bind "$1" "$2" "$root$3"
  shift 3
done
shift

mkdir -p "$root/run/rollcall/journal"
mount -t tmpfs -o mode=0700,size=64m tmpfs "$root/run/rollcall/journal"

cd "$root"
pivot_root . .
umount -l .
cd /
exec "$@"
