#!/bin/bash
# 1 when /app/hello.txt holds the one line asked for, else 0.
reward=0
[ -f /app/hello.txt ] && [ "$(cat /app/hello.txt)" = 'Hello, Rollcall!' ] && reward=1
mkdir -p /logs/verifier
echo "$reward" > /logs/verifier/reward.txt
