#!/bin/bash
# 1 when the script does what its comment says on data made here, else 0.
passed=1
work=$(mktemp -d)
script=$work/archive.sh
cp /app/archive.sh "$script" && chmod 755 "$script" || passed=0

check() { # what, expected, found
  [ "$2" = "$3" ] && return
  echo "FAILED $1: expected [$2], found [$3]"
  passed=0
}
names() { (cd "$1" 2> /dev/null && printf '%s\n' *.txt | LC_ALL=C sort | tr '\n' '|'); }
reports() { # directory, titles…
  local directory=$1 title day=0
  mkdir -p "$directory"
  for title in "${@:2}"; do day=$((day + 1)); echo "$title $RANDOM" > "$directory/2026-01-0$day $title.txt"; done
}
run() { timeout 10 bash "$script" "$@"; }

a="$work/in box"
reports "$a" alpha 'beta two' gamma '-delta' '*'
echo other > "$a/notes.md"
before=$(cat "$a/2026-01-02 beta two.txt")
out=$(run "$a" "$work/out box/deep" 2)
check 'what it prints' 'moved 3, kept 2' "$out"
check 'what is left' '2026-01-04 -delta.txt|2026-01-05 *.txt|' "$(names "$a")"
check 'what was moved' '2026-01-01 alpha.txt|2026-01-02 beta two.txt|2026-01-03 gamma.txt|' "$(names "$work/out box/deep")"
check 'moved content' "$before" "$(cat "$work/out box/deep/2026-01-02 beta two.txt" 2> /dev/null)"
check 'other files' other "$(cat "$a/notes.md" 2> /dev/null)"

b=$work/taken
reports "$b" one two three
mkdir -p "$work/target"
echo mine > "$work/target/2026-01-01 one.txt"
check 'nothing overwritten: print' 'moved 1, kept 2' "$(run "$b" "$work/target" 1)"
check 'nothing overwritten: target' mine "$(cat "$work/target/2026-01-01 one.txt")"
check 'nothing overwritten: source' '2026-01-01 one.txt|2026-01-03 three.txt|' "$(names "$b")"

c=$work/few
reports "$c" only
check 'more kept than there are' 'moved 0, kept 1' "$(run "$c" "$work/none" 5)"
mkdir -p "$work/empty"
check 'no reports' 'moved 0, kept 0' "$(run "$work/empty" "$work/none" 0)"
check 'keep none' 'moved 1, kept 0' "$(run "$c" "$work/all" 0)"

for bad in "$work/missing:1" "$work/empty:many" "$work/empty:-1"; do
  out=$(run "${bad%:*}" "$work/none" "${bad##*:}" 2> "$work/message")
  check "exit code of ${bad##*/}" 2 "$?"
  check "output of ${bad##*/}" '' "$out"
  [ -s "$work/message" ] || check "message of ${bad##*/}" 'a message' 'none'
done

mkdir -p /logs/verifier
echo "$passed" > /logs/verifier/reward.txt
