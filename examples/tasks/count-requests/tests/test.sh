#!/bin/bash
# 1 when the report is the expected one and the log is as it was, else 0.
reward=0
log_sha256=1cc58ea62cb4e7a0f17e408f55dd5ce24d2b7bc389976100ba48e41bef65eb61
if [ -f /app/report.txt ] && cmp /app/report.txt /tests/expected-report.txt; then
  [ "$(sha256sum < /app/access_log | cut -d ' ' -f 1)" = "$log_sha256" ] && reward=1
fi
mkdir -p /logs/verifier
echo "$reward" > /logs/verifier/reward.txt
