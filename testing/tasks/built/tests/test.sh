#!/bin/bash
[ "$(cat copied 2>/dev/null)" = built ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
