#!/bin/bash
[ "$(cat /app/one.txt 2>/dev/null)" = one ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
