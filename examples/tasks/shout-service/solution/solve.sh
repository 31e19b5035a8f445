#!/bin/bash
set -eu
mkdir -p /app/run
cat > /app/shout.sh <<'SERVICE'
#!/bin/bash
cd /app/run || exit
[ -p requests ] || mkfifo requests
trap '' PIPE
# Open for reading and writing: there is always a writer, so reading never comes to the end of the file.
exec 3<> requests
served=0
echo "$served" > served
echo "$$" > pid
while IFS= read -r line <&3; do
  reply=${line%% *}
  text=${line#* }
  [ -p "$reply" ] || continue
  printf '%s\n' "$text" | LC_ALL=C tr a-z A-Z | timeout 5 tee "$reply" > /dev/null || continue
  served=$((served + 1))
  echo "$served" > served
done
SERVICE
nohup bash /app/shout.sh < /dev/null > /app/run/log 2>&1 &
for _ in {1..100}; do
  [ -s /app/run/pid ] && exit 0
  sleep 0.05
done
echo 'the service did not start' >&2
exit 1
