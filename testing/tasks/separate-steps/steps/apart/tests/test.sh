#!/bin/bash
[ "$(cat /app/two.txt 2>/dev/null)" = two ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
