# Says whether the runner's main process lives: rollcall alive WORKDIR | rollcall ended CODE | rollcall begun.
# With "wait" it says "begun" only after ten seconds.
home=/.rollcall
alive() {
  {
    read -r pid start <"$home/journal/supervisor" && read -r stat <"/proc/$pid/stat" || return 1
  } 2>/dev/null
  set -- ${stat##*) }
  [ "$1" != Z ] || return 1
  shift 19
  [ "$1" = "$start" ]
}
round=0
while :; do
  if alive; then
    printf 'rollcall alive %s\n' "$(cat "$home/bin/workdir")"
    exit
  fi
  if [ -e "$home/ended" ]; then
    printf 'rollcall ended %s\n' "$(cat "$home/ended")"
    exit
  fi
  # One that was there has been ended by somebody.
  [ ! -e "$home/journal/supervisor" ] || [ $round -lt 5 ] || break
  [ "$1" = wait ] && [ $round -lt 100 ] || break
  round=$((round + 1))
  sleep 0.1
done
echo 'rollcall begun'
