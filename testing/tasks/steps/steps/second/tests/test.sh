#!/bin/bash
source /tests/expected.sh
[ -z "$(ls /logs/artifacts /logs/agent 2>/dev/null | grep -v :)" ] || true
[ "$(cat /app/second.txt 2>/dev/null)" = "$EXPECTED" ] && reward=1 || reward=0
echo "{\"reward\": $reward, \"style\": $reward}" > /logs/verifier/reward.json
