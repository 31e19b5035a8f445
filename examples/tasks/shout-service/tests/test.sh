#!/bin/bash
# 1 when the service that the agent started still answers, rightly and every time, else 0.
passed=1
work=$(mktemp -d)
fail() { echo "FAILED $1"; passed=0; }

ask() { # text: prints the answer
  local reply
  reply=$(mktemp -u "$work/reply.XXXXXX")
  mkfifo "$reply"
  timeout 3 bash -c 'printf "%s %s\n" "$1" "$2" > /app/run/requests' ask "$reply" "$1" || return
  timeout 3 cat "$reply"
}
expect() { # text, answer
  local answer
  answer=$(ask "$1")
  [ "$answer" = "$2" ] || fail "[$1]: expected [$2], found [$answer]"
}
judge() {
  [ -p /app/run/requests ] || { fail 'no named pipe /app/run/requests'; return; }
  local before after pid word count=0
  pid=$(cat /app/run/pid 2> /dev/null)
  [ -n "$pid" ] && kill -0 "$pid" 2> /dev/null || { fail "no process $pid"; return; }
  before=$(cat /app/run/served 2> /dev/null)
  [[ "$before" =~ ^[0-9]+$ ]] || { fail "no number in /app/run/served: [$before]"; return; }
  for _ in 1 2 3; do
    word=$(tr -dc a-z < /dev/urandom | head -c 12)
    expect "$word" "$(printf '%s' "$word" | tr a-z A-Z)"
    count=$((count + 1))
  done
  expect 'two  words, 3 \n and *' 'TWO  WORDS, 3 \N AND *'
  # A client whose reply pipe is gone must not end the service.
  timeout 3 bash -c 'echo "$1/no-such-pipe gone" > /app/run/requests' ask "$work" || fail 'the request pipe is stuck'
  expect still STILL
  count=$((count + 2))
  # The number is written after the answer: give it a moment.
  for _ in {1..40}; do
    after=$(cat /app/run/served 2> /dev/null)
    [ "$after" = "$((before + count))" ] && break
    sleep 0.05
  done
  [ "$after" = "$((before + count))" ] || fail "served: expected $((before + count)), found [$after]"
  kill -0 "$pid" 2> /dev/null || fail "process $pid has ended"
}
judge
mkdir -p /logs/verifier
echo "$passed" > /logs/verifier/reward.txt
