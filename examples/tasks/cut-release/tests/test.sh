#!/bin/bash
# 1 when all four points of the instruction hold, else 0.
passed=1
check() { # what, expected, found
  [ "$2" = "$3" ] && return
  echo "FAILED $1: expected [$2], found [$3]"
  passed=0
}
cd /app || passed=0
check VERSION 1.5.0 "$(cat VERSION)"
check '--version' 'greet 1.5.0' "$(timeout 5 sh src/greet.sh --version)"
check 'greet.sh still greets' 'Hello, Ada!' "$(timeout 5 sh src/greet.sh Ada)"
cmp CHANGELOG.md /tests/expected-changelog.md || passed=0
check 'part.sh' "$(cat /tests/expected-part.sh)" "$(cat src/part.sh)"
check MANIFEST "$(sha256sum src/greet.sh src/part.sh)" "$(cat MANIFEST 2> /dev/null)"
mkdir -p /logs/verifier
echo "$passed" > /logs/verifier/reward.txt
