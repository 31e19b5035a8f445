# Inside a sandbox: attach-loop.sh CHANNELS ATTACHMENT…
# Starts one attachment for each announcement on the control FIFO.
channels=$1
shift

# Run in a process of its own per attachment. Each FIFO is first opened both ways, which never blocks, so that a worker
# that died after its announcement leaves nothing hanging; then one way, so that the other side's death is end of file.
attach='
  channel=$1
  shift
  exec 5<>"$channel.in" 6<>"$channel.out" || exit 1
  exec <"$channel.in" >"$channel.out" 5>&- 6>&-
  echo ready
  exec "$@"
'

# Both ways: a worker can announce itself at any time, and end of file never comes.
exec 3<>"$channels/control"
while IFS= read -r line <&3; do
  # A writer that died within its line leaves rubbish, which matches nothing here.
  case $line in
    attach\ *[!0-9a-f]*) ;;
    attach\ ?*) setsid -f sh -c "$attach" rollcall-attach "$channels/${line#attach }" "$@" 3>&- ;;
  esac
done
