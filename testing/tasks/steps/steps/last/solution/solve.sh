#!/bin/bash
set -e
[ ! -e /tests/test.sh ]
cat first.txt second.txt > /dev/null
echo last > last.txt
