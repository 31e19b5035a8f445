# Shared by supervisor.sh and attach.sh, and put before them by scripts.ts. POSIX sh: busybox ash, dash, bash.
# Nothing here forks unless it says so. See runner/protocol.md.
#
# Variables begin with _ so that none of them is one of the image's exported ones.
# A claim is three lines:
#   1  exit record: STATE CODE ENDED OOM TERMINATOR, blanks until it is overwritten in place; valid with terminator !
#   2  why Rollcall killed it: . nobody did, s stopped, t timed out; overwritten in place
#   3  supervisor's pid, its start time, started, deadline (both in 1/100 s of uptime)
_n='
'

# Uptime in 1/100 s -> _u
now() {
  read -r _u _x </proc/uptime
  _u=${_u%.*}${_u#*.}
  while case $_u in 0?*) ;; *) false ;; esac; do _u=${_u#0}; done
}

# who STATFILE -> _pid _parent _start; fails when the process is gone or only waits to be reaped
who() {
  _x= _pid= _start=
  read -r _x <"$1" || return 1
  _pid=${_x%% *}
  who_fields ${_x##*) }
  [ "$_z" != Z ]
}
who_fields() {
  _z=$1 _parent=$2
  # Too long a shift would end dash.
  [ $# -gt 19 ] || return
  shift 19
  _start=$1
}

# bg COMMAND ARG…: runs it detached, by a fork in a fork, with _pid and _start set. Not by &, since dash and ash make
# what & starts ignore SIGINT and SIGQUIT for ever, commands of users included. The inner one kills the outer one, which
# would wait for it; cd -P tells a process its own pid.
bg() {
  (
    cd -P /proc/self
    (
      kill -9 "${PWD#/proc/}"
      cd "$OLDPWD"
      who /proc/self/stat
      "$@" </dev/null
    )
    :
  )
}

# load CLAIM -> _state _code _ended _oom, _why, _owner _born _began _deadline; succeeds when it has its exit record.
# A record that is written while it is read may be mixed of old and new, but its terminator is written last.
load() {
  load_once "$1" && load_once "$1"
}
load_once() {
  _t= _owner= _born= _deadline= _why=.
  {
    read -r _state _code _ended _oom _t
    read -r _why
    read -r _owner _born _began _deadline
  } <"$1"
  # A claim that is filled while it is read comes with its lines shifted: nothing is known of it yet.
  case $_t$_deadline in [.!]?*) ;; *) _owner= ;; esac
  [ "$_t" = '!' ]
}

# owned: whether the supervisor of the loaded claim lives
owned() {
  who "/proc/$_owner/stat" && [ "$_start" = "$_born" ]
}

# nap SECONDS: sleeps, and does not where no process can be started. dash ends when it cannot fork, unless it is within
# a command that is no special one.
nap() {
  command eval 'sleep "$1"'
}

# sweep ' ID ID … ' ' PID PID … ': kills every process that carries the marker of an id, and the process groups of
# children of these supervisors; succeeds when there was one. read drops NULs, so the next variable's name follows the
# id directly; it cannot begin with a digit.
sweep() {
  _hit=1
  for _f in /proc/[0-9]*; do
    if [ "$2" != ' ' ] && who "$_f/stat"; then
      case $2 in
        *" $_parent "*)
          kill -9 "-$_pid"
          kill -9 "$_pid" && _hit=0
          continue
          ;;
      esac
    fi
    while IFS= read -r _x || [ -n "$_x" ]; do
      case $_x in
        *ROLLCALL_EXEC=*/*)
          _x=${_x#*ROLLCALL_EXEC=}
          _y=${_x#*/}
          case $1 in
            *" ${_x%%/*}/${_y%%[!0-9-]*} "*) kill -9 "${_f#/proc/}" && _hit=0 ;;
          esac
          break
          ;;
      esac
    done <"$_f/environ"
  done
  return $_hit
}

# doom WHY ID…: says in the claims of running commands why they are about to end -> _list
doom() {
  _kind=$1 _list=' '
  shift
  for _id; do
    load "$_J/$_id" && continue
    [ -n "$_owner" ] || continue
    { read -r _x; printf %s "$_kind" >&3; } 3<>"$_J/$_id" <&3
    _list="$_list$_id "
  done
}

# strike: kills what is left of the commands in _list; fails when nothing is. A command that has ended by itself
# meanwhile keeps its daemons.
strike() {
  _left=' ' _owners=' '
  for _id in $_list; do
    if load "$_J/$_id"; then
      [ "$_state" = x ] && continue
    elif owned; then
      _owners="$_owners$_owner "
    fi
    _left="$_left$_id "
  done
  _list=$_left
  # Bare, bash would return what was before the trap.
  [ "$_list" != ' ' ] || return 1
  sweep "$_list" "$_owners" || [ "$_owners" != ' ' ]
}

# finish WHY ID…: ends running commands with all that they started; returns when they are dead, or after 1000 rounds
# (20 s and more) if something cannot be killed. The first strike needs no fork, which a fork bomb may prevent.
finish() {
  _round=0
  doom "$@"
  while strike && [ $_round -lt 1000 ]; do
    _round=$((_round + 1))
    nap 0.02
  done
}
