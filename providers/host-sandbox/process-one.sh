# Process 1 of a sandbox: process-one.sh MARKER SUPERVISOR…
# Takes its environment from the gate, then runs the supervisor and reaps what others leave.
# When the supervisor ends, so does this, and the kernel ends everything else in the sandbox.
umask 022
shift
exec 4>&-
environment=$(cat)
case $environment in
  *'rollcall_environment=complete') ;;
  *) exit 1 ;; # the launcher died before this process was on record
esac
eval "$environment"
unset environment rollcall_environment
# In the foreground: a background job of sh would have SIGINT ignored, and so would every command in the sandbox.
"$@" </dev/null >/dev/null 2>&1 9>&-
