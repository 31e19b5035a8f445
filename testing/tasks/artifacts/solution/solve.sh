#!/bin/bash
set -e
mkdir -p out tree/cache /logs/artifacts
echo published > /logs/artifacts/published.txt
echo out > out/file.txt
ln -s /etc/passwd out/passwd
mkfifo out/pipe queue
ln -s /etc link
echo report > report.txt
echo kept > tree/kept.txt
echo dropped > tree/dropped.tmp
echo dropped > tree/cache/file
