# One attachment on a pseudo-terminal, which is made to pass every byte as it is. sh line.sh TOKEN
# In a session of its own, so that the end of the terminal is the end of a file and not a signal to commands that start.
stty raw -echo || exit 1
home=/.rollcall
printf '\001ready %s\n' "$1"
(
  exec setsid env -i "_rollcall=$(cat "$home/bin/attach")" sh -c '. /.rollcall/bin/variables; eval "unset _rollcall; $_rollcall"' \
    rollcall "$home/journal" "$home/output" "$(cat "$home/bin/user")" "$(cat "$home/bin/workdir")"
)
