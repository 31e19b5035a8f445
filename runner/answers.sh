# What an attachment writes: frames (runner/protocol.md). Put between journal.sh and attach.sh by scripts.ts.
# The token in the FIFO on descriptor 8 keeps frames whole: who writes one has taken it.

# fatal REASON: this attachment cannot serve, and says so
fatal() {
  read -r _x <&8
  printf '%s F %s\n%s E\n%s .\n' "$_N" "$1" "$_N" "$_N"
  exit 1
}

# answer SCOPE NAME STATE CODE STARTED ENDED OOM: a frame without output
answer() {
  read -r _x <&8
  printf '%s R %s %s %s %s %s %s %s\n%s E\n%s .\n' "$_N" "$@" "$_N" "$_N"
  echo >&8
}

# reply SCOPE NAME STATE CODE STARTED ENDED OOM: a frame with the command's output. The token in the FIFO keeps frames
# whole; who is killed holding it leaves pings unanswered, and the worker attaches anew. Files that were removed
# meanwhile make an empty answer: such a frame ends in ! and does not count.
reply() {
  _out=$_O/$1/$2 _more=
  [ -n "$_short" ] && plain "$@" && return
  read -r _x <&8
  if [ -s "$_out.out" ]; then
    _more=1
    printf '%s R %s %s %s %s %s %s %s\n' "$_N" "$@"
    LC_ALL=C cat "$_out.out"
  fi
  if [ -s "$_out.err" ]; then
    [ -n "$_more" ] || printf '%s R %s %s %s %s %s %s %s\n' "$_N" "$@"
    printf '%s E\n' "$_N"
    LC_ALL=C cat "$_out.err"
    _more=2
  fi
  _x=.
  acked "$1" "$2" && _x=!
  case $_more in
    '') printf '%s R %s %s %s %s %s %s %s\n%s E\n%s %s\n' "$_N" "$@" "$_N" "$_N" $_x ;;
    1) printf '%s E\n%s %s\n' "$_N" "$_N" $_x ;;
    2) printf '%s %s\n' "$_N" $_x ;;
  esac
  echo >&8
}

# plain SCOPE NAME STATE CODE STARTED ENDED OOM: as reply, without cat, whose fork and exec are a fifth of what a command
# costs; fails, with nothing written, unless the output is short text. Only a process that ends with its reply may ask:
# a file that others have made longer than the command's own descriptors say may be endless where it is sparse, and so
# the kernel ends whoever reads for a second. Then verify answers, by cat.
plain() {
  LC_ALL=C
  ulimit -S -c 0
  ulimit -S -t 1
  if text "$_out.out" "$_outs" && _stdout=$_text && text "$_out.err" "$_errs"; then
    _x=.
    read -r _y <&8
    acked "$1" "$2" && _x=!
    printf '%s R %s %s %s %s %s %s %s\n%s%s E\n%s%s %s\n' "$_N" "$@" "$_stdout" "$_N" "$_text" "$_N" $_x
    echo >&8
    return
  fi
  ulimit -S -t "$_cpu"
  return 1
}

# text FILE LENGTH -> _text: all of it; fails if it is long or not printable ASCII. read drops NULs: where the way that was
# read is as long as what came of it, there were none.
text() {
  _text= _x= _at=
  if [ "$2" = 0 ]; then
    [ ! -s "$1" ]
    return
  fi
  {
    while IFS= read -r _x; do
      _text=$_text$_x$_n
      [ ${#_text} -le $_most ] || return
    done <&3
    read -r _y _at </proc/self/fdinfo/3
  } 3<"$1"
  _text=$_text$_x
  [ ${#_text} = "$_at" ] || return
  case $_text in *[!\ -~"$_n$_tab"]*) return 1 ;; esac
}

# say TYPE REQUEST
say() {
  trap : PIPE HUP TERM
  read -r _x <&8
  printf '%s %s %s\n%s E\n%s .\n' "$_N" "$1" "$2" "$_N" "$_N"
  echo >&8
}

hello() {
  trap : PIPE HUP TERM
  path tar
  _tar=$_x
  read -r _x <&8
  printf '%s H %s %s -%s\n%s\n%s E\n%s .\n' "$_N" "$1" "$_self" "${_bash:+b}${_tar:+t}" "$_dir" "$_N" "$_N"
  echo >&8
}
