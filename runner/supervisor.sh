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

# rest TIME: sees to it that something wakes the loop at TIME, or in a minute if that is earlier; _timers are those that
# do already, each TIME:PID. An orphaned timer is gone after a minute.
rest() {
  for _i in $_timers; do
    [ "${_i%:*}" -gt "$1" ] || return
  done
  now
  _when=$1
  [ $((_when - _u)) -lt 6000 ] || _when=$((_u + 6000))
  _i=$((_when - _u))
  [ "$_i" -gt 0 ] || _i=1
  alarm "$((_i / 100)).$((_i / 10 % 10))$((_i % 10))" "$_when" </dev/null >/dev/null 6>&- &
  _timers="$_timers $_when:$!" _last=$!
}
# The trap comes first, and knows by _last whether there is a sleep to end yet.
alarm() {
  trap '[ "$!" = "$_last" ] || kill $!; exit' TERM
  sleep "$1" 7<&- &
  wait $!
  printf 't %s\n' "$2" >&7
}

# check: ends what is due, forgets what has ended, and waits for the earliest of the others
check() {
  now
  _now=$_u _keep= _next=$_end _due= _count=0
  [ "$_now" -lt "$_end" ] || leave 0
  for _i in $_running; do
    load "$_J/${_i%:*}" && continue
    [ -n "$_owner" ] || continue
    if [ "${_i#*:}" -le "$_now" ]; then
      _due="$_due ${_i%:*}"
      continue
    fi
    [ "${_i#*:}" -lt "$_next" ] && _next=${_i#*:}
    _keep="$_keep $_i" _count=$((_count + 1))
  done
  _running=$_keep
  if [ -n "$_due" ]; then
    doom t $_due
    strike
    bg finish t $_due
  fi
  rest "$_next"
}

# leave CODE: what still runs ends with the sandbox
leave() {
  trap '' TERM INT
  _all=
  for _i in $_running; do
    _all="$_all ${_i%:*}"
  done
  [ -z "$_all" ] || finish s $_all
  for _i in $_timers; do
    kill "${_i#*:}"
  done
  # The signal may have come before the newest timer was noted.
  [ "$!" = "$_last" ] || kill $!
  exit "$1"
}

trap 'leave 143' TERM INT
who /proc/self/stat
now
_end=$((_u + _life)) _running= _timers= _last= _count=0
printf '%s %s\n' $$ "$_start" >|"$_J/supervisor"
[ $# -gt 0 ] && bg child "$@"
rest "$_end"
while :; do
  read -r _verb _id _at <&7 || continue
  # Reaps timers and, as process 1 without an init, everybody's orphans.
  jobs >/dev/null
  case $_verb in
    d)
      _running="$_running $_id:$_at" _count=$((_count + 1))
      rest "$_at"
      [ "$_count" -lt 256 ] || { check; _count=0; }
      ;;
    t)
      _keep=
      for _i in $_timers; do
        [ "${_i%:*}" = "$_id" ] || _keep="$_keep $_i"
      done
      _timers=$_keep
      check
      ;;
  esac
done
