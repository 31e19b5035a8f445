#!/bin/bash
set -eu
sed -n '1,/^$/p' /app/archive.sh > /tmp/archive.sh
cat >> /tmp/archive.sh <<'SCRIPT'
source=${1-}
target=${2-}
keep=${3-}

if [ ! -d "$source" ]; then
  echo "not a directory: $source" >&2
  exit 2
fi
if [[ ! "$keep" =~ ^[0-9]+$ ]]; then
  echo "not a whole number: $keep" >&2
  exit 2
fi

mkdir -p -- "$target" || exit

shopt -s nullglob
LC_ALL=C
reports=("$source"/*.txt)
left=${#reports[@]}
old=$((left - 10#$keep))
moved=0
for ((at = 0; at < old; at++)); do
  report=${reports[at]}
  [ -e "$target/${report##*/}" ] && continue
  mv -- "$report" "$target/" && moved=$((moved + 1))
done

echo "moved $moved, kept $((left - moved))"
SCRIPT
cat /tmp/archive.sh > /app/archive.sh
