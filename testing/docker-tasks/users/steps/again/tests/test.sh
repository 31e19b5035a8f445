#!/bin/bash
# A link that the first step's agent had made is replaced, not followed.
[ ! -L owned/victim ] && [ "$(stat -c %u owned/victim)" = 1234 ] && [ "$(cat /etc/motd 2>/dev/null)" != "from the second step" ] &&
  [ "$(cat owned/again 2>/dev/null)" = 1234 ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
