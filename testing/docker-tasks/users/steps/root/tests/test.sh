#!/bin/bash
[ "$(id -un)" = nobody ] && [ "$(cat owned/root 2>/dev/null)" = 0 ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
