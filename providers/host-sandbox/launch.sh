#!/bin/sh
# Starts one sandbox and stays its parent: launch.sh DIRECTORY COMMAND…
#
# COMMAND must print lines on descriptor 4, as bubblewrap does: "child-pid": N somewhere, N being the sandbox's process 1
# as seen from here, and } at the end.
# The environment of the sandbox comes on descriptor 3 as shell text, so that no secret is in any argument list.
#
# Exits 75 when another launcher is at work, 76 when this sandbox has been started before: it is never started twice.

complete='rollcall_environment=complete'

environment=$(cat <&3)
exec 3<&-
case $environment in
  *"$complete") ;;
  *) exit 77 ;; # the worker died while it was writing; nothing has been started
esac

cd "$1" || exit 74
shift
umask 077
exec 9>>lock
flock -n 9 || exit 75
[ ! -e process.json ] || exit 76

# pid, start time and boot id together name a process for good: pids alone are reused.
record_process() {
  pid=
  # To the end: bubblewrap would die of a closed pipe.
  while read -r line; do
    case $line in
      *'"child-pid"'*)
        pid=${line##*: }
        pid=${pid%%[!0-9]*}
        ;;
      '}') break ;;
    esac
  done
  [ -n "$pid" ] || return 1
  read -r stat <"/proc/$pid/stat" || return 1
  read -r boot </proc/sys/kernel/random/boot_id
  set -- ${stat##*) }
  shift 19
  printf '{"pid":%s,"startTicks":%s,"bootId":"%s"}\n' "$pid" "$1" "$boot" >process.json.new &&
    mv process.json.new process.json
}

for fifo in gate channels/control; do
  [ ! -e "$fifo" ] || rm -f "$fifo"
done
mkfifo gate channels/control || exit 74

# Process 1 waits at the gate until it is on record. If the recorder dies, the gate's end of file ends process 1 too.
# Descriptor 9, the lock, stays open in process 1 and here: whoever gets the lock knows that nothing runs any more.
{
  umask 022
  "$@" 4>&1 >>run.log 2>&1 <gate
  echo $? >ended
} | {
  exec 8<>gate 9>&-
  record_process && printf '%s\n' "$environment" >&8
}
