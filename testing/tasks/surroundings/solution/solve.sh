#!/bin/bash
set -e
{ pwd; echo "$GREETING"; echo "$FROM_IMAGE"; cat /skills/one/SKILL.md; } > /srv/found
# A daemon that has to be alive while the tests run.
nohup bash -c 'while :; do date > /srv/beat; sleep 0.1; done' >/dev/null 2>&1 </dev/null &
