# A session: the exec that keeps an interpreter between calls. sh -c TEXT, with RC_SCOPE, RC_NAME, RC_KIND (shell, python),
# RC_KERNEL (python's program). Its directory, which client.sh reads and writes:
#   ops      FIFO of requests, one line each: run, b (the interpreter has begun), int, quit, stop, eof
#   ctl      FIFO that the interpreter reads its requests from; nothing of them is ever in its output
#   in       FIFO, the running command's standard input; tty.in, tty.out: the terminal's two sides
#   N.cmd N.out N.s  the N-th command, what it writes, how it ended; all apart from each other and from the shell's own
#   pid      main process, its group, whether there is a terminal, the exec's id, the process of ops; made last
#   exited   how the interpreter ended; N.full: the N-th command was ended, since it had written too much
# The shell is an interactive one: it survives errors, an interrupt brings it back to its next request, and with a
# terminal it has job control. It reads requests from a FIFO, so no prompt and no output can be taken for an answer.
_um=$(umask)
umask 077
mkdir "$_D" || exit 125
mkfifo "$_D/ops" "$_D/ctl" "$_D/tty.in" || exit 125
: >"$_D/tty.out"
exec 3<>"$_D/ops" 4<>"$_D/ctl" 6>&2 2>/dev/null

# program NAME -> _x: where it is
program() {
  _x=$(command -v "$1") || _x=
  case $_x in '' | /*) return ;; esac
  _rest=$PATH:
  while [ -n "$_rest" ]; do
    [ -x "${_rest%%:*}/$1" ] && _x=${_rest%%:*}/$1 && return
    _rest=${_rest#*:}
  done
}

# key OCTAL SIGNAL: to whatever the terminal has in its foreground, else to all that the session runs. A shell that was
# interrupted may have dropped the line that tells how its command ended, so it is asked again.
key() {
  if [ -n "$_tty" ]; then
    printf "\\$1" 1<>"$_D/tty.in"
  else
    kill "-$2" "-$_group"
  fi
  ask
}
ask() {
  [ "$RC_KIND" = python ] || printf '%s\n' "$_echo \$? >>'$_D/$_n.s'" >&4
}

# slay MARK: what was started with this id, wherever it has gone
slay() {
  for _f in $(grep -ls "ROLLCALL_EXEC=$1" /proc/[0-9]*/environ); do
    _f=${_f%/environ}
    kill -9 "${_f#/proc/}"
  done
}
# watch: ends a command that writes without end, and with it the session where that is the shell's own doing
watch() {
  exec 3<&- 4<&- 5>&-
  until [ -s "$_D/$_n.s" ] || [ ! -e "$_D/$_n.cmd" ]; do
    sleep 0.2
    [ -n "$(find "$_D/$_n.out" "$_D/tty.out" -size +262144k)" ] || continue
    : >"$_D/$_n.full"
    slay "$_mark"
    sleep 0.2
    for _f in "$_n.out" tty.out; do
      [ -z "$(find "$_D/$_f" -size +262144k)" ] || dd of="$_D/$_f" bs=1048576 seek=256 count=0
    done
    [ -s "$_D/$_n.s" ] || kill -9 "-$_group"
  done
}
# ops: requests in the order they come, each whole, whoever sent them and whether or not he still lives. A shell with a
# trap does not keep an interrupt from what & starts.
ops() {
  trap '' INT QUIT TSTP
  while read -r _op _n _last _on _mark <&3; do
    case $_op in
      run)
        rm -f "$_D/in"
        mkfifo "$_D/in"
        exec 5<>"$_D/in"
        watch &
        if [ "$RC_KIND" = python ]; then
          printf '%s\n' "$_n" >&4
          continue
        fi
        _files="<'$_D/in' >>'$_D/$_n.out' 2>&1"
        [ "$_on" = file ] || _files='</dev/tty >/dev/tty 2>&1'
        _run="\\. '$_D/$_n.cmd' $_files"
        [ "$_last" = 0 ] || _run="if '$_sh' -c 'exit $_last'; then $_run; else $_run; fi"
        printf '%s\n' "ROLLCALL_EXEC='$_mark'; $_echo b $_n 1<>'$_D/ops'; $_run" >&4
        ;;
      b) ask ;;
      int) key 003 INT ;;
      quit) key 034 QUIT ;;
      stop) key 032 TSTP ;;
      eof) if [ "$_on" = tty ]; then printf '\004' 1<>"$_D/tty.in"; else exec 5>&-; fi ;;
    esac
  done
}

# kernel: becomes the interpreter. ops ignores signals of the keyboard, as all that & starts.
kernel() {
  umask "$_um"
  exec 3<&- 4<&- 6>&-
  if [ "$RC_KIND" = python ]; then
    exec "$_python" -c "$RC_KERNEL" "$_D" </dev/null >/dev/null 2>&1
  fi
  program sh
  _shell=$_x
  program bash
  export SHELL="${_x:-$_shell}" PS1= PS2= ENV= HISTFILE= TERM="${TERM:-xterm}"
  _options=-i _open=
  # Kept open, since a terminal that nobody has open looks to its other side like the end.
  [ -z "$_tty" ] || _open='stty rows 40 cols 120; exec 8<>/dev/tty'
  [ -z "$_x" ] || _options='--norc --noprofile -i'
  printf '%s\n' "unset RC_SCOPE RC_NAME RC_KIND PS1 PS2 ENV; $_open
    exec '$SHELL' $_options <'$_D/ctl' >/dev/null 2>&1" >"$_D/inner"
  case $_tty in
    script) SHELL=$_shell exec script -q -e -f -c "SHELL='$SHELL' exec '$_shell' '$_D/inner'" /dev/null 0<>"$_D/tty.in" >>"$_D/tty.out" 2>&1 ;;
    python) exec python3 -c "$_relay" "$_shell" "$_D/inner" 0<>"$_D/tty.in" >>"$_D/tty.out" 2>&1 ;;
    *) exec "$_shell" "$_D/inner" </dev/null >/dev/null 2>&1 ;;
  esac
}
# Not pty.spawn, which ends when nobody has the terminal open and goes on while a daemon has.
_relay='import fcntl, os, pty, select, signal, sys, termios
master, slave = pty.openpty()
awake, wake = os.pipe()
os.set_blocking(wake, False)
signal.set_wakeup_fd(wake)
signal.signal(signal.SIGCHLD, lambda *_: None)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(slave, descriptor)
    os.close(slave)
    os.execv(sys.argv[1], sys.argv[1:])
status = None
while True:
    ready = select.select([master] if status is not None else [master, 0, awake], [], [], 0 if status is not None else None)[0]
    if master in ready:
        os.write(1, os.read(master, 65536))
    elif status is not None:
        sys.exit(status >> 8 if status > 255 else 128 + (status & 127))
    if 0 in ready:
        os.write(master, os.read(0, 4096))
    if awake in ready:
        os.read(awake, 64)
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = code'

_tty= _python=
if [ "$RC_KIND" = python ]; then
  program python3
  _python=$_x
  if [ -z "$_python" ]; then
    echo 'no python3' >&6
    rm -rf "$_D"
    exit 127
  fi
elif script -q -e -f -c true /dev/null </dev/null >/dev/null; then
  _tty=script
elif python3 -c 'import pty; pty.openpty()' </dev/null >/dev/null; then
  _tty=python
fi
trap : INT QUIT TSTP
# Not its own pid: su stays between.
read -r _x </proc/$$/stat
_x=${_x##*) }
_x=${_x#* }
_x=${_x#* }
_group=${_x%% *}
# A program, since a command's functions may have the names of the shell's own words.
program sh
_sh=$_x
program echo
case $_x in /*) _echo="'$_x'" ;; *) _echo='\command echo' ;; esac
ops &
_ops=$!
printf '%s %s %s %s %s\n' "$$" "$_group" "${_tty:--}" "$ROLLCALL_EXEC" "$_ops" >"$_D/new"
mv "$_D/new" "$_D/pid"
(kernel)
_code=$?
printf '%s\n' "$_code" >"$_D/ended"
mv "$_D/ended" "$_D/exited"
kill -9 "$_ops"
exit "$_code"
