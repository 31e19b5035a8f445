#!/bin/sh
# On the node: node.sh VERB HOME [NAME]… does one thing with the sandboxes in HOME, the directory of them all.
# Needs a POSIX sh, util-linux (flock, setsid) and tar. Exit codes: 0 done, 66 not there or dead, 70 it could not be
# started, 75 still running, 76 not in time.
programs=${0%/*}
verb=$1 home=$2 name=$3
directory=$home/$name
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# identify DIRECTORY: reads process.json -> pid ticks boot; fails where nothing has been started
identify() {
  IFS= read -r line 2>/dev/null <"$1/process.json" || return 1
  pid=${line#*'"pid":'} ticks=${line#*'"startTicks":'} boot=${line#*'"bootId":"'}
  pid=${pid%%,*} ticks=${ticks%%,*} boot=${boot%%\"*}
}

of_this_boot() {
  read -r now </proc/sys/kernel/random/boot_id && [ "$now" = "$boot" ]
}

# alive: whether the identified process still runs; a zombie does not
alive() {
  of_this_boot || return 1
  { IFS= read -r stat <"/proc/$pid/stat"; } 2>/dev/null || return 1
  set -- ${stat##*) }
  case $1 in Z | X) return 1 ;; esac
  [ "${20}" = "$ticks" ]
}

# why DIRECTORY -> reason: the launcher writes the exit code a moment after the death
why() {
  reason=unknown round=0
  while [ $round -lt 6 ]; do
    if { read -r code <"$1/ended"; } 2>/dev/null && [ -n "$code" ]; then
      reason=exited
      [ "$code" != 0 ] || reason=lifetime
      return
    fi
    identify "$1" && of_this_boot || return
    round=$((round + 1))
    sleep 0.05
  done
}

# describe DIRECTORY: one line, "running - RECORD", "unstarted - RECORD" or "dead REASON RECORD"; none where there is none
describe() {
  { IFS= read -r record <"$1/sandbox.json"; } 2>/dev/null || return 0
  if ! identify "$1"; then
    printf 'unstarted - %s\n' "$record"
  elif alive; then
    printf 'running - %s\n' "$record"
  else
    why "$1"
    printf 'dead %s %s\n' "$reason" "$record"
  fi
}

# kill_marked: every process with the marker, a line of standard input, among its arguments; this one has it in none
kill_marked() {
  for found in $(printf '%s\n' "$marker" | grep -lasF -f - /proc/[0-9]*/cmdline); do
    found=${found#/proc/}
    kill -9 "${found%/cmdline}"
  done 2>/dev/null
}

case $verb in
  # A tar of the sandbox's directory on standard input, its record last. Gives it its name in one step: onto a directory
  # that has something in it nothing can be renamed.
  make)
    making=$(mktemp -d "$home/.making-XXXXXXXX") || exit 74
    trap 'rm -rf "$making"' EXIT HUP TERM
    tar -xpof - -C "$making" || exit 74
    [ -e "$making/sandbox.json" ] || exit 74
    chmod 700 "$making"
    mv -T "$making" "$directory" 2>/dev/null || [ -e "$directory/sandbox.json" ] || exit 74
    describe "$directory"
    ;;

  # Shell text on standard input: the command line as positional parameters, the environment as $environment, and how
  # many hundredths of a second it may take as $ticks_left. Started before: waits for it all the same.
  start)
    order=$(cat)
    case $order in *rollcall_order=complete) ;; *) exit 74 ;; esac
    eval "$order"
    [ -e "$directory/sandbox.json" ] || exit 66
    if [ ! -e "$directory/process.json" ]; then
      printf '%s\nrollcall_environment=complete\n' "$environment" |
        env -i PATH="$PATH" setsid -f sh "$programs/launch.sh" "$directory" "$@" 3<&0 </dev/null >/dev/null 2>&1
    fi
    until [ -e "$directory/process.json" ]; do
      if [ -s "$directory/ended" ]; then
        tail -c 500 "$directory/run.log"
        exit 70
      fi
      [ $ticks_left -gt 0 ] || exit 76
      ticks_left=$((ticks_left - 2))
      sleep 0.02
    done
    # Opening waits for a reader, and an empty line announces nothing.
    { echo >"$directory/channels/control"; } 2>/dev/null &
    writer=$!
    while kill -0 $writer 2>/dev/null; do
      identify "$directory" && alive && [ $ticks_left -gt 0 ] && ticks_left=$((ticks_left - 2)) && sleep 0.02 && continue
      kill -9 $writer 2>/dev/null
      alive && exit 76
      tail -c 500 "$directory/run.log"
      exit 66
    done
    ;;

  find) describe "$directory" ;;

  list)
    find "$home" -maxdepth 1 \( -name '.making-*' -o -name '.removing-*' \) -mmin +60 -exec rm -rf {} + 2>/dev/null
    for each in "$home"/[a-z0-9]*; do
      describe "$each"
    done
    ;;

  # The system folders with the kernel's change times, which nobody inside can set: a mark, a blank, a path, NUL.
  picture)
    cd "$directory/root" 2>/dev/null || exit 66
    find bin etc lib lib32 lib64 libx32 sbin usr -printf '%i_%C@ /%p\0' 2>/dev/null | head -c 2000000
    exit 0
    ;;

  # One attachment: a pair of FIFOs of its own, announced on the control FIFO; then standard input and output are its ends.
  attach)
    identify "$directory" && alive || exit 66
    # The way in must not lead out: nothing but a FIFO is opened.
    control=$directory/channels/control
    [ -p "$control" ] && [ ! -L "$control" ] || exit 66
    read -r id </proc/sys/kernel/random/uuid
    id=$(printf %s "$id" | tr -d -)
    channel=$directory/channels/$id
    trap 'rm -f "$channel.in" "$channel.out"' EXIT
    trap 'exit 69' HUP TERM INT
    mkfifo -m 600 "$channel.in" "$channel.out" || exit 66
    # Both ways until the other side is there: so it finds a writer, and end of file when this process dies.
    exec 5<>"$channel.in" 6<>"$channel.out" 7<>"$control"
    printf '\nattach %s\n' "$id" >&7
    [ "$(timeout 20 head -c 6 <&6)" = ready ] || exit 69
    exec 3>"$channel.in" 4<"$channel.out" 5>&- 6>&- 7>&-
    rm -f "$channel.in" "$channel.out"
    trap - EXIT HUP TERM INT
    echo ready
    # By another number: a command in the background has its standard input taken away.
    exec 8<&0
    cat <&8 >&3 4<&- 2>/dev/null &
    exec cat <&4 3>&- 8<&- 2>/dev/null
    ;;

  # The marker on standard input. Kills everything and removes the directory when nothing holds its lock any more.
  destroy)
    read -r marker
    for seconds in 1 2 5 10; do
      if identify "$directory"; then
        alive && kill -9 "$pid"
      else
        kill_marked
      fi 2>/dev/null
      read -r id </proc/sys/kernel/random/uuid
      sh "$programs/remove.sh" "$directory" "$home/.removing-$id" $seconds
      code=$?
      [ $code = 75 ] || break
      kill_marked
    done
    [ ! -d "$directory" ] || exit 75
    exit 0
    ;;

  *) exit 64 ;;
esac
