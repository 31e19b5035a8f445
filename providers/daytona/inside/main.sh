# The sandbox's main process below Daytona's own: the runner's supervisor, and after it nothing. sh main.sh LIFETIME
home=/.rollcall
. "$home/bin/variables"
cd /
_rollcall=$(cat "$home/bin/supervisor")
export _rollcall
sh -c 'eval "unset _rollcall; $_rollcall"' rollcall "$home/journal" "$home/output" "$1"
echo $? >"$home/ended"
# Only what is in this sandbox can be meant: it has a process table of its own.
kill -9 -1
