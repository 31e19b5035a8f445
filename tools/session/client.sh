# One call to a session: an exec that ends when the command has, or when the call's time is over; then the command runs on.
# RC_OP (run, look, end), RC_WAIT and RC_QUIET (1/100 s), RC_KEYS, RC_INPUT (there is input on stdin), RC_ON (file, tty),
# RC_MARK, RC_STARTING. New output goes to stdout as it is; what came of the call is one line on stderr:
#   none | busy | idle | unread | no-tty | over CODE BYTES     nothing was run; of over, BYTES of output were still unseen
#   finished|running|ended CODE BEFORE BYTES IMAGES FULL  BEFORE: how an earlier command ended that nobody had been told of,
#                                                    BYTES of stdout are its; - if there is none. FULL: it was ended,
#                                                    since it had written too much
exec 3<&0 4>&2 2>/dev/null

# Uptime in 1/100 s -> _u
now() {
  read -r _u _x </proc/uptime
  _u=${_u%.*}${_u#*.}
  while case $_u in 0?*) ;; *) false ;; esac; do _u=${_u#0}; done
}
say() {
  printf '%s\n' "$*" >&4
  exit 0
}
over() {
  [ -e "$_D/exited" ] || [ ! -e "$_D/pid" ] || ! kill -0 "$_pid" || ! kill -0 "$_ops"
}
# how -> _code: how the interpreter ended. Where it was killed, or its files are gone, what is left of it ends, too.
how() {
  _code=killed
  read -r _code <"$_D/exited" || { _code=killed && purge; }
}
purge() {
  kill -9 "-$_group"
  slay "$_session"
  [ $_state != running ] || { read -r _x <"$_D/mark" && slay "$_x"; }
}
length() {
  _length=0
  [ ! -e "$1" ] || _length=$(wc -c <"$1")
  _length=$((_length))
}
part() {
  [ "$3" -gt "$2" ] || return
  if [ "$2" = 0 ]; then head -c "$3" "$1"; else tail -c "+$(($2 + 1))" "$1" | head -c "$(($3 - $2))"; fi
}
# emit -> _bytes: what the latest command has written since anybody was shown
emit() {
  _bytes=0 _out=0 _term=0
  read -r _out _term <"$_D/shown"
  length "$_D/tty.out"
  [ "$_term" -le "$_length" ] || _term=0
  length "$_D/$_n.out"
  part "$_D/$_n.out" "$_out" "$_length"
  _bytes=$((_length - _out)) _out=$_length
  length "$_D/tty.out"
  part "$_D/tty.out" "$_term" "$_length"
  _bytes=$((_bytes + _length - _term))
  printf '%s %s\n' "$_out" "$_length" >|"$_D/shown"
}
# await: until the command or the interpreter has ended, the time is over, or output has come and then nothing for a while
await() {
  now
  _until=$((_u + RC_WAIT)) _since=$_u _i=0
  read -r _out _term <"$_D/shown"
  _first=$((_out + _term)) _seen=$((_out + _term))
  until [ -s "$_D/$_n.s" ] || over; do
    now
    [ "$_u" -lt "$_until" ] || return
    if [ -n "$RC_QUIET" ]; then
      length "$_D/tty.out"
      _now=$_length
      length "$_D/$_n.out"
      _now=$((_now + _length))
      [ "$_now" = "$_seen" ] || _seen=$_now _since=$_u
      [ "$_seen" = "$_first" ] || [ $((_u - _since)) -lt "$RC_QUIET" ] || return
    fi
    _i=$((_i + 1))
    [ ! -e "$_D/$_n.keyed" ] || [ $((_i % 20)) != 1 ] || [ $_i -gt 200 ] || echo "b $_n" 1<>"$_D/ops"
    if [ $_i -lt 20 ]; then sleep 0.01; elif [ $_i -lt 60 ]; then sleep 0.03; else sleep 0.1; fi
  done
}
# drain: what a command writes to its terminal is relayed, and may come after its end. What comes later still is shown by
# the next call.
drain() {
  _seen=-1 _i=0
  length "$_D/tty.out"
  until [ "$_length" = "$_seen" ] || [ $_i -gt 50 ]; do
    _seen=$_length _i=$((_i + 1))
    sleep 0.03
    length "$_D/tty.out"
  done
}
# slay MARK: what was started with this id, wherever it has gone
slay() {
  for _f in $(grep -ls "ROLLCALL_EXEC=$1" /proc/[0-9]*/environ); do
    _f=${_f%/environ}
    kill -9 "${_f#/proc/}"
  done
}
# report: shows what is new and says how things stand
report() {
  _ended=running _code=-
  if [ -s "$_D/$_n.s" ]; then
    read -r _code <"$_D/$_n.s"
    _ended=finished
  elif over; then
    how
    _ended=ended
  fi
  [ ! -e "$_D/$_n.tty" ] || drain
  emit
  _images=0
  [ ! -s "$_D/$_n.images" ] || read -r _images <"$_D/$_n.images"
  _full=0
  [ ! -e "$_D/$_n.full" ] || _full=1
  [ $_ended != finished ] || : >|"$_D/$_n.told"
  [ $_ended != ended ] || rm -rf "$_D"
  say "$_ended" "$_code" "${_before:--}" "${_beforeBytes:-0}" "$_images" "$_full"
}

if [ -n "$RC_STARTING" ]; then
  _i=0
  until [ -e "$_D/pid" ] || [ $_i -gt 500 ]; do
    _i=$((_i + 1))
    sleep 0.02
  done
fi
[ -O "$_D" ] || say none
read -r _pid _group _tty _session _ops <"$_D/pid" || say none
_n=0
read -r _n <"$_D/n"
_state=idle
if [ "$_n" != 0 ] && [ ! -e "$_D/$_n.told" ]; then
  _state=running
  [ ! -s "$_D/$_n.s" ] || _state=finished
fi

case $RC_OP in
  end)
    purge
    rm -rf "$_D"
    say none
    ;;
  look)
    [ $_state != idle ] || { ! over || { how; rm -rf "$_D"; say over "$_code" 0; }; say idle; }
    if [ $_state = running ] && ! over; then
      if [ -n "$RC_INPUT" ]; then
        _to=$_D/in
        [ ! -e "$_D/$_n.tty" ] || _to=$_D/tty.in
        cat <&3 >"$_to" &
        _writer=$!
        now
        _until=$((_u + RC_WAIT))
        while kill -0 $_writer && ! [ -s "$_D/$_n.s" ] && ! over; do
          now
          [ "$_u" -lt "$_until" ] || { kill -9 $_writer; emit; say unread; }
          sleep 0.01
        done
        kill -9 $_writer
      fi
      for _key in $RC_KEYS; do
        _on=file
        [ ! -e "$_D/$_n.tty" ] || _on=tty
        [ "$_key" != stop ] || [ "$_tty" != - ] || say no-tty
        # A shell that is interrupted as it reads on drops what it has read: it is then asked anew how its command ended.
        : >"$_D/$_n.keyed"
        echo "$_key $_n 0 $_on" 1<>"$_D/ops"
      done
      await
    fi
    report
    ;;
esac

# run
if over; then
  _bytes=0
  [ $_state = idle ] || emit
  how
  rm -rf "$_D"
  say over "$_code" "$_bytes"
fi
[ $_state != running ] || say busy
[ "$RC_ON" = file ] || [ "$_tty" != - ] || say no-tty
_last=0 _before=
[ "$_n" = 0 ] || read -r _last <"$_D/$_n.s"
if [ $_state = finished ]; then
  emit
  _before=$_last _beforeBytes=$_bytes
fi
_old=$_n _n=$((_n + 1))
# Who makes the file runs it. One that was killed before it could say so has run nothing, and is passed by.
set -C
until { cat <&3; } >"$_D/$_n.cmd"; do
  sleep 1
  _other=0
  read -r _other <"$_D/n"
  [ "$_other" -lt "$_n" ] || say busy
  _n=$((_n + 1))
done
set +C
[ "$RC_ON" = file ] || : >"$_D/$_n.tty"
_term=0
read -r _out _term <"$_D/shown"
if [ "$_term" -gt 67108864 ]; then
  length "$_D/tty.out"
  part "$_D/tty.out" "$_term" "$_length"
  : >|"$_D/tty.out"
  _term=0
fi
printf '0 %s\n' "$_term" >|"$_D/shown"
echo "$RC_MARK" >|"$_D/mark"
echo "$_n" >|"$_D/n"
rm -f "$_D/$_old."*
echo "run $_n $_last $RC_ON $RC_MARK" 1<>"$_D/ops"
await
report
