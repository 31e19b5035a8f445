# Once for each sandbox: takes into use what was put into DIR, and starts the runner's main process. Whoever comes second
# removes its own DIR and waits. sh DIR/boot.sh DIR LIFETIME USER [WORKDIR]
umask 077
home=/.rollcall
chmod 700 "$1"
if mkdir "$home/claimed" 2>/dev/null; then
  dir=${4:-$PWD}
  (umask 022 && mkdir -p "$dir")
  printf %s "$dir" >"$1/workdir"
  printf %s "$3" >"$1/user"
  unset OLDPWD SHLVL _
  # Before the secrets: what the order says goes before what the image says.
  { export -p && cat "$1/secrets"; } >"$1/variables"
  rm "$1/secrets"
  mv "$1" "$home/bin"
  setsid sh "$home/bin/main.sh" "$2" </dev/null >/dev/null 2>&1 &
else
  rm -rf "$1"
fi
# The one who came first may still be moving its files.
round=0
while [ ! -e "$home/bin/status.sh" ] && [ $round -lt 100 ]; do
  round=$((round + 1))
  sleep 0.1
done
exec sh "$home/bin/status.sh" wait
