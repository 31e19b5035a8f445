#!/bin/bash
# Usage: archive.sh SOURCE TARGET KEEP
#
# Moves all reports (*.txt) of SOURCE except the KEEP newest to TARGET, which is made if it is missing. Reports are
# called YYYY-MM-DD <title>.txt; newer means a later date in the name. A report that TARGET already has is not
# overwritten: it stays in SOURCE. At the end prints "moved N, kept M", where M counts all reports left in SOURCE.
# Exits 2 with a message on standard error if SOURCE is not a directory or KEEP is not a whole number.

source=$1
target=$2
keep=$3

if [ ! -d $source ]; then
  echo "not a directory: $source"
  exit 1
fi

mkdir $target

moved=0
ls $source/*.txt | sort | head -n $keep | while read report; do
  mv $report $target
  moved=$((moved + 1))
done

echo "moved $moved, kept $keep"
