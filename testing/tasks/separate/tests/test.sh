#!/bin/bash
[ "$PWD" = /verify ] && [ ! -e /app/numbers.txt ] || exit 1
[ "$(cat /app/answer.txt 2>/dev/null)" = "$EXPECTED" ] && [ "$(tr -d '\n' < /logs/artifacts/sorted.txt)" = 123 ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
