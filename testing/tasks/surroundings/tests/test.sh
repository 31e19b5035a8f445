#!/bin/bash
expected=$(printf '/srv\nhello there\nyes\n# One')
[ "$(cat /srv/found 2>/dev/null)" = "$expected" ] && r=1 || r=0
rm -f /srv/beat
for _ in $(seq 50); do [ -e /srv/beat ] && break; sleep 0.1; done
[ -e /srv/beat ] || r=0
# In a container the image's own first process ran, with the task's environment.
[ ! -e /.dockerenv ] || [ "$(cat /entered)" = "hello there" ] || r=0
echo $r > /logs/verifier/reward.txt
