# A person's shell inside a sandbox: enter-shell.sh WORKDIR interactive|command TERMINAL COMMAND
# Its environment comes on descriptor 3 as shell text.
eval "$(cat <&3)"
exec 3<&-
# It may have been removed inside.
cd "$1" 2>/dev/null || cd /
shell='exec /bin/sh'
[ -z "$3" ] || ! command -v bash >/dev/null || shell='exec bash'
[ "$2" = interactive ] || shell=$4
[ -n "$3" ] || exec /bin/sh -c "$shell"
# With a terminal of the sandbox's own, so that its name means something inside and the shell leads its session.
TERM=$3 SHELL=/bin/sh exec script --quiet --return --flush --command "$shell" /dev/null
