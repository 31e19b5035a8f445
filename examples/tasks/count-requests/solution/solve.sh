#!/bin/bash
set -eu
awk '
  {
    requests[$1]++
    if ($(NF - 1) >= 400) failed[$1]++
    if ($NF != "-") bytes[$1] += $NF
  }
  END { for (client in failed) print client, requests[client], failed[client], bytes[client] + 0 }
' /app/access_log | LC_ALL=C sort -k3,3nr -k1,1 > /app/report.txt
