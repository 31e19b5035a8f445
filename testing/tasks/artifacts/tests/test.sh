#!/bin/bash
[ -f /app/report.txt ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
