# Where a session keeps its files: a directory of the user who runs it. Put before driver.sh and client.sh by scripts.ts.
# POSIX sh: busybox ash, dash, bash. Variables begin with _ so that none of them is one of the image's exported ones.
for _d in /tmp /dev/shm /var/tmp "$HOME" "$PWD"; do
  case $_d in *\'*) continue ;; esac
  [ -d "$_d" ] && [ -w "$_d" ] && break
done
_D=$_d/.rollcall-$RC_SCOPE-$RC_NAME
