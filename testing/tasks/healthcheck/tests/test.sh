#!/bin/bash
[ "$(cat /app/state 2>/dev/null)" = healthy ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
