#!/bin/bash
[ "$(id -un)" = nobody ] && [ "$(cat owned/bound 2>/dev/null)" = 1234 ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
