# Main process of a sandbox: sh -c TEXT rollcall JOURNALDIR OUTPUTDIR LIFETIME [CHILD ARG…]
# Keeps deadlines and the lifetime (1/100 s). It sleeps in one read of the wake FIFO: a command that starts writes
# "d ID DEADLINE", a sleeping child writes "t TIME" when the earliest deadline has come. So it costs nothing while
# nothing happens, and no wake-up can be lost.
_J=$1 _O=$2 _life=$3
shift 3
_um=$(umask) _setsid=$(command -v setsid)
umask 077
mkdir -p "$_J" "$_O" && rm -f "$_J/wake" "$_J/supervisor" && mkfifo "$_J/wake" || exit 125
exec 7<>"$_J/wake" 6>&2 2>/dev/null

# child ARG…: the image's own process; its exit is recorded and not fatal
child() {
  umask "$_um"
  (exec $_setsid "$@" 2>&6 6>&- 7<&-)
  printf 'exited %s\n' "$?" >|"$_J/child"
}

# rest TIME: sees to it that the loop goes on at TIME, or in a minute if that is earlier. A shell whose read can wait with
# a limit needs only to know _wake. For others _timers are those that will wake it, each TIME:PID; an orphaned one is gone
# after a minute. Where no process can be started, as beside a fork bomb, the loop wakes itself at once, and so keeps the
# time by going round. command eval: dash ends when it cannot fork, unless it is within a command that is no special one.
rest() {
  if [ -n "$_waits" ]; then
    [ "$_wake" -le "$1" ] || _wake=$1
    return
  fi
  for _i in $_timers; do
    [ "${_i%:*}" -gt "$1" ] || return
  done
  now
  _when=$1
  [ $((_when - _u)) -lt 6000 ] || _when=$((_u + 6000))
  seconds $((_when - _u))
  if command eval 'alarm "$_s" "$_when" </dev/null >/dev/null 6>&- &'; then
    _timers="$_timers $_when:$!" _last=$!
  else
    printf 't 0\n' >&7
  fi
}
# seconds TICKS -> _s
seconds() {
  _i=$1
  [ "$_i" -gt 0 ] || _i=1
  _s=$((_i / 100)).$((_i / 10 % 10))$((_i % 10))
}
# The trap comes first, and knows by _last whether there is a sleep to end yet.
alarm() {
  trap '[ "$!" = "$_last" ] || put_down $!; exit' TERM
  if command eval 'sleep "$1" 7<&- &'; then wait $!; fi
  printf 't %s\n' "$2" >&7
}

# put_down PID: ends a timer. A shell that has just been forked loses a signal, so it is sent until nobody is there.
put_down() {
  _round=0
  while kill "$1" && who "/proc/$1/stat" && [ $_round -lt 1000 ]; do
    _round=$((_round + 1))
  done
}

# check: strikes what is due, again and again until nothing of it is left, forgets what has ended, and waits for the
# earliest of the others. What has been struck has the deadline 0. It starts no process, which a fork bomb may prevent.
check() {
  now
  _now=$_u _keep= _next=$_end _due= _struck= _wake=$_end
  [ "$_now" -lt "$_end" ] || leave 0
  for _i in $_running; do
    if [ "${_i#*:}" = 0 ]; then
      _struck="$_struck ${_i%:*}"
      continue
    fi
    load "$_J/${_i%:*}" && continue
    [ -n "$_owner" ] || continue
    if [ "${_i#*:}" -le "$_now" ]; then
      _due="$_due ${_i%:*}"
      continue
    fi
    [ "${_i#*:}" -lt "$_next" ] && _next=${_i#*:}
    _keep="$_keep $_i"
  done
  if [ -n "$_due$_struck" ]; then
    [ -z "$_due" ] || _strikes=0
    doom t $_due
    _list=$_list$_struck
    if strike; then
      for _i in $_list; do
        _keep="$_keep $_i:0"
      done
      _strikes=$((_strikes + 1))
      now
      if [ $_strikes -lt 250 ]; then _i=$((_u + 2)); else _i=$((_u + 200)); fi
      [ "$_i" -gt "$_next" ] || _next=$_i
    fi
  fi
  _running=$_keep
  rest "$_next"
}

# take VERB ID-OR-TIME DEADLINE: a line of the FIFO
take() {
  _part=
  case $1 in
    d)
      _running="$_running $2:$3" _count=$((_count + 1))
      rest "$3"
      [ "$_count" -lt 256 ] || { check; _count=0; }
      ;;
    t)
      _keep=
      for _i in $_timers; do
        [ "${_i%:*}" = "$2" ] || _keep="$_keep $_i"
      done
      _timers=$_keep
      check
      ;;
  esac
}

# leave CODE: what still runs ends with the sandbox
leave() {
  trap '' TERM INT
  _all=
  for _i in $_running; do
    _all="$_all ${_i%:*}"
  done
  if [ -n "$_all" ]; then
    _round=0
    doom s $_all
    while strike && [ $_round -lt 1000 ]; do
      _round=$((_round + 1))
      if [ -n "$_waits" ]; then read -r -t 0.02 _x <&7; else nap 0.02; fi
    done
  fi
  for _i in $_timers; do
    put_down "${_i#*:}"
  done
  # The signal may have come before the newest timer was noted.
  [ "$!" = "$_last" ] || put_down $!
  exit "$1"
}

trap 'leave 143' TERM INT
who /proc/self/stat
now
_end=$((_u + _life)) _running= _timers= _last= _count=0 _strikes=0 _part= _wake=$((_u + _life))
# bash says by more than 128 that the time is over.
_waits=
read -r -t 0.01 _x <&7
[ $? -le 128 ] || _waits=1
printf '%s %s\n' $$ "$_start" >|"$_J/supervisor"
[ $# -gt 0 ] && bg child "$@"
rest "$_end"
while :; do
  if [ -n "$_waits" ]; then
    now
    [ "$_u" -lt "$_wake" ] || check
    # bash runs a trap after the read when its signal comes just before it.
    if [ $((_wake - _u)) -lt 200 ]; then seconds $((_wake - _u)); else _s=2; fi
    # What has come of a line before the time is over belongs to the rest of it.
    IFS= read -r -t "$_s" _line <&7 || { _part=$_part$_line; continue; }
  else
    IFS= read -r _line <&7 || continue
  fi
  # Reaps timers and, as process 1 without an init, everybody's orphans.
  jobs >/dev/null
  take $_part$_line
done
